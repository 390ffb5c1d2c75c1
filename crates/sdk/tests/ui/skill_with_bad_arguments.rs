use bivouac::prelude::*;

/// Greets.
#[skill(id = "greet", title = "Greet")]
struct UnknownArgument;

/// Greets.
#[skill(id = "greet people")]
struct BadId;

/// Greets.
#[skill(tags = ["a", 2])]
struct BadTags;

#[skill(id = "greet")]
struct WithoutDescription;

/// Greets.
#[skill]
struct Generic<T>(T);

fn main() {}
