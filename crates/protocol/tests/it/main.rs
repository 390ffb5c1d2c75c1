//! The crate's promises, through its public API: golden frames and schemas that any guest can be held against, and
//! properties of the encodings.
//!
//! `cases` says what the golden frames mean, `golden` compares them with the files in `conformance/frames/`,
//! `refused` holds what must not be read, `properties` generates the rest.

mod cases;
mod golden;
mod properties;
mod refused;
mod schema;
mod text;
