//! Settings: what a file and the environment may say, checked once, all problems at once.
