//! Tests of the whole: the binary as users run it, checked with programs that pileus had no part in.

#![allow(missing_docs, unreachable_pub)]

mod harness;
mod round_trip;
