//! Everything on embedded defaults, with real device recordings replayed as if devices were sending them now.
