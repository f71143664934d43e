//! Stage: measurements in, measurement groups out.
