//! The book's pages, as this repository's tests see them.
//!
//! Every Rust block of every page, and of the repository's README, is compiled and run as a doctest of this crate; every
//! shell block is run by `tests/it`. Nothing else is here, and nothing depends on it. How a page is written so that it can
//! be tested: `docs/README.md`.

/// Includes the pages as documentation when doctests are collected, and lists them for the tests.
macro_rules! pages {
    ($($module:ident $path:literal)*) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../", $path))]
            mod $module {}
        )*

        /// The pages, relative to the folder `docs`.
        pub const PAGES: &[&str] = &[$($path),*];
    };
}

pages! {
    readme "../README.md"
    introduction "pages/introduction.md"
    quickstart "pages/quickstart.md"
    concepts "pages/concepts.md"
    agents "pages/agents.md"
    deploy "pages/deploy.md"
    durability "pages/durability.md"
    testing "pages/testing.md"
    a2a "pages/a2a.md"
    cli "pages/cli.md"
    errors "pages/errors.md"
    limits "pages/limits.md"
}
