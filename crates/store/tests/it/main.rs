//! The store through its public API.

#[cfg(test)]
mod blobs;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod envelope;
#[cfg(test)]
mod equal;
#[cfg(test)]
mod full;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod sqlite;
