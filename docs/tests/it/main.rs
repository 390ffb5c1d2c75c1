//! The book's pages, tested: what they consist of, that they hang together, and that their shell blocks do what they say.

#![expect(clippy::print_stdout, reason = "a page's author is shown what its blocks print")]

mod book;
mod expect;
mod page;
mod reference;
mod session;

use page::Page;

/// A test for each page that has shell blocks, so that they are counted and named one by one.
macro_rules! sessions {
    ($($name:ident $page:literal)*) => {
        $(
            #[test]
            fn $name() {
                session::run(&Page::read($page));
            }
        )*

        #[test]
        fn every_page_with_shell_blocks_is_run() {
            let with: Vec<String> = Page::all()
                .into_iter()
                .filter(|page| page.blocks.iter().any(session::is_run))
                .map(|page| page.name)
                .collect();
            assert_eq!(with, [$($page),*] as [&str; [$($page),*].len()]);
        }
    };
}

sessions! {
    readme "../README.md"
    quickstart "pages/quickstart.md"
    agents "pages/agents.md"
    deploy "pages/deploy.md"
    durability "pages/durability.md"
    testing "pages/testing.md"
    a2a "pages/a2a.md"
    errors "pages/errors.md"
}
