//! Stage: measurement groups in, groups with Device, Patient and Encounter out.
