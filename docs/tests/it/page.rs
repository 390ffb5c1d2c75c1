//! What a page consists of, for the tests: its blocks, links and headings.

use bivouac_book::PAGES;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What begins a comment whose text is run and not shown.
const HIDDEN: &str = "<!-- sh\n";

/// A page of the book, or the README.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its file, relative to the folder `docs`.
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) blocks: Vec<Block>,
    /// Where its links lead, as they are written.
    pub(crate) links: Vec<String>,
    pub(crate) headings: Vec<Heading>,
}

/// A fenced block, or a hidden piece of shell.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The first word of the fence.
    pub(crate) language: String,
    /// The others, which commas separate.
    pub(crate) attributes: Vec<String>,
    pub(crate) text: String,
    /// Where it begins, from 1.
    pub(crate) line: usize,
}

impl Block {
    /// Whether it has an attribute.
    pub(crate) fn is(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|own| own == attribute)
    }

    /// The value of an attribute `name=value`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find_map(|own| own.strip_prefix(name)?.strip_prefix('='))
    }

    /// The block as it is written to a file: without what hides lines of Rust.
    pub(crate) fn source(&self) -> String {
        if self.language != "rust" {
            return self.text.clone();
        }
        let shown = |line: &str| match line.trim_start() {
            "#" => String::new(),
            hidden if hidden.starts_with("# ") => hidden[2..].to_owned(),
            _ => line.to_owned(),
        };
        self.text.lines().map(|line| shown(line) + "\n").collect()
    }
}

/// A heading.
#[derive(Debug)]
pub(crate) struct Heading {
    pub(crate) text: String,
}

impl Heading {
    /// The anchor that mdBook and GitHub give it.
    pub(crate) fn anchor(&self) -> String {
        let kept = |letter: char| match letter {
            ' ' => Some('-'),
            letter if letter.is_alphanumeric() || letter == '_' || letter == '-' => Some(letter.to_ascii_lowercase()),
            _ => None,
        };
        self.text.chars().filter_map(kept).collect()
    }
}

/// The folder `docs`.
pub(crate) fn docs() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Page {
    /// Reads a page, by its name relative to the folder `docs`.
    pub(crate) fn read(name: &str) -> Self {
        let file = docs().join(name);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self::parse(name, file, &text)
    }

    /// Every page.
    pub(crate) fn all() -> Vec<Self> {
        PAGES.iter().map(|name| Self::read(name)).collect()
    }

    fn parse(name: &str, file: PathBuf, text: &str) -> Self {
        let mut page =
            Self { name: name.to_owned(), file, blocks: Vec::new(), links: Vec::new(), headings: Vec::new() };
        let mut within: Option<Block> = None;
        let mut heading: Option<Heading> = None;
        let mut comment: Option<(String, usize)> = None;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = text[..range.start].matches('\n').count() + 1;
            match event {
                Event::Start(Tag::CodeBlock(kind)) => within = Some(block(&kind, line)),
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(within.take()),
                Event::Start(Tag::HtmlBlock) => comment = Some((String::new(), line)),
                Event::Html(html) => {
                    if let Some((all, _)) = &mut comment {
                        all.push_str(&html);
                    }
                }
                Event::End(TagEnd::HtmlBlock) => {
                    page.blocks.extend(comment.take().and_then(|(all, line)| hidden(&all, line)));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(Heading { text: String::new() }),
                Event::End(TagEnd::Heading(_)) => page.headings.extend(heading.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Text(part) | Event::Code(part) => {
                    if let Some(block) = &mut within {
                        block.text.push_str(&part);
                    } else if let Some(heading) = &mut heading {
                        heading.text.push_str(&part);
                    }
                }
                _ => {}
            }
        }
        page
    }
}

fn block(kind: &CodeBlockKind<'_>, line: usize) -> Block {
    let info = match kind {
        CodeBlockKind::Fenced(info) => info.as_ref(),
        CodeBlockKind::Indented => "",
    };
    let mut words = info.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned);
    let language = words.next().unwrap_or_default();
    Block { language, attributes: words.collect(), text: String::new(), line }
}

fn hidden(html: &str, line: usize) -> Option<Block> {
    let text = html.strip_prefix(HIDDEN)?;
    let text = text
        .trim_end()
        .strip_suffix("-->")
        .unwrap_or_else(|| panic!("line {line}: a comment of `sh` that has more than the comment"));
    Some(Block { language: "sh".to_owned(), attributes: vec!["hidden".to_owned()], text: text.to_owned(), line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_into_its_blocks_links_and_headings() {
        let text = "# One `two`!\n\n```sh,fails=2\ncd [a](x.md)\n```\n\n<!-- sh\nwait\n-->\n\n<!-- a word -->\n\n[b](y.md#z) and `c`\n\n```rust\n# use a;\n#[b]\n```\n";
        let page = Page::parse("p.md", PathBuf::new(), text);
        assert_eq!(page.headings[0].anchor(), "one-two");
        assert_eq!(page.links, ["y.md#z"]);
        let blocks: Vec<_> = page.blocks.iter().map(|block| (block.language.as_str(), block.line)).collect();
        assert_eq!(blocks, [("sh", 3), ("sh", 7), ("rust", 15)]);
        assert_eq!(page.blocks[0].value("fails"), Some("2"));
        assert!(page.blocks[1].is("hidden") && page.blocks[1].text == "wait\n");
        assert_eq!(page.blocks[2].source(), "use a;\n#[b]\n");
    }
}
