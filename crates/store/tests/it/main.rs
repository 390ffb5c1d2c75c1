//! The store through its public API.

mod conformance;
