//! Tests of the whole: the library across modules, and the binary as users run it.
