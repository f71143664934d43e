//! Stage: envelopes in, measurements with their group key out.
