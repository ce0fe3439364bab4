//! Tests of the whole: the binary as users run it, checked with programs that pileus had no part in.

#![allow(missing_docs, unreachable_pub)]

mod backup_input;
mod backup_output;
mod between_calls;
mod checkpoints;
mod damage;
mod destination;
mod encryption;
mod exclude;
mod filters;
mod fixtures;
mod harness;
mod hostile;
mod increments;
mod local_state;
mod long_paths;
mod look_inside;
mod made_store;
mod metadata_text;
mod overwriting;
mod project_rules;
mod publishing;
mod restore_selection;
mod restore_target;
mod round_trip;
mod signatures;
mod special_files;
mod store_files;
mod unstable;
mod week;
