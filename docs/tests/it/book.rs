//! The book as a whole: every page is listed, every link leads somewhere, every block says what it is.

use crate::{
    page::{Page, docs},
    session,
};
use bivouac_book::PAGES;
use std::{collections::BTreeSet, fs, path::Path};

/// What the first word of a fence may be. Without one, rustdoc would compile the block as Rust.
const LANGUAGES: &[&str] = &["rust", "sh", "console", "text", "toml", "json", "js", "python"];

/// The shell blocks that no test runs: page, first line, reason.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "../README.md",
        "cargo install --path crates/cli --locked        # the command `bivouac`; some minutes, once",
        "it builds the whole workspace for release; the tests use the command that is built already",
    ),
    (
        "pages/quickstart.md",
        "cargo install --path crates/cli --locked",
        "it builds the whole workspace for release; the tests use the command that is built already",
    ),
];

#[test]
fn every_page_is_in_the_summary_and_among_the_tests() {
    let folder = docs().join("pages");
    let files: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect();
    let summary: BTreeSet<String> = Page::read("pages/SUMMARY.md").links.into_iter().collect();
    assert_eq!(summary, files, "left: what SUMMARY.md lists, right: what is in docs/pages");
    let tested: BTreeSet<String> =
        PAGES.iter().filter_map(|page| page.strip_prefix("pages/")).map(str::to_owned).collect();
    assert_eq!(tested, files, "left: what docs/src/lib.rs lists, right: what is in docs/pages");
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages = Page::all();
    pages.push(Page::read("pages/SUMMARY.md"));
    pages.push(Page::read("README.md"));
    let mut broken = Vec::new();
    for page in &pages {
        for link in page.links.iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.file.clone() } else { page.file.parent().unwrap().join(path) };
            // mdBook leaves a link out of its folder as it is, and it would lead nowhere.
            let in_book = !page.name.starts_with("pages/") || !path.contains('/');
            if !in_book || !target.exists() || !has_anchor(&target, anchor) {
                broken.push(format!("{}: {link}", page.name));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

fn has_anchor(file: &Path, anchor: &str) -> bool {
    if anchor.is_empty() {
        return true;
    }
    let page = Page::read(&file.to_string_lossy());
    page.headings.iter().any(|heading| heading.anchor() == anchor)
}

#[test]
fn every_block_says_what_it_is() {
    for page in Page::all() {
        for (index, block) in page.blocks.iter().enumerate() {
            let place = format!("{}:{}", page.name, block.line);
            assert!(
                LANGUAGES.contains(&block.language.as_str()),
                "{place}: `{}` is none of {LANGUAGES:?}",
                block.language
            );
            let known = ["hidden", "not-run", "background", "no_run", "compile_fail", "should_panic", "ignore"];
            for attribute in &block.attributes {
                let valued = ["file=", "fails="].iter().any(|name| attribute.starts_with(name));
                assert!(valued || known.contains(&attribute.as_str()), "{place}: what is `{attribute}`?");
                assert_ne!(attribute, "ignore", "{place}: every Rust block is compiled");
            }
            let follows = index.checked_sub(1).map(|before| &page.blocks[before]);
            if block.language == "console" {
                assert!(follows.is_some_and(session::is_run), "{place}: `console` follows a block that is run");
            }
        }
    }
}

#[test]
fn only_what_is_listed_with_its_reason_is_not_run() {
    let mut left = Vec::new();
    for page in Page::all() {
        for block in page.blocks.iter().filter(|block| block.is("not-run")) {
            left.push((page.name.clone(), block.text.lines().next().unwrap_or_default().to_owned()));
        }
    }
    let listed: Vec<_> = NOT_RUN.iter().map(|(page, line, _)| ((*page).to_owned(), (*line).to_owned())).collect();
    assert_eq!(left, listed, "left: what is not run, right: what NOT_RUN lists");
    assert!(NOT_RUN.iter().all(|(_, _, reason)| reason.len() > 20), "each has a reason");
}

#[test]
fn the_books_configuration_can_be_read() {
    let text = fs::read_to_string(docs().join("book.toml")).unwrap();
    let book: toml::Table = text.parse().unwrap();
    let source = book["book"]["src"].as_str().unwrap();
    assert!(docs().join(source).join("SUMMARY.md").is_file());
    assert_eq!(book["build"]["create-missing"].as_bool(), Some(false));
}
