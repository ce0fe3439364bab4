//! The second night: what an increment costs, and what it must not miss.

mod deciding;
mod log;
pub mod nights;
pub mod portable;
mod state;
mod sub_file;
