//! Publishes the messages of a file, as a fleet of devices would.
