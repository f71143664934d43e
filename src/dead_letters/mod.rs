//! Writes down what could not be processed, for every stage.
