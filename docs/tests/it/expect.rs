//! Whether what was printed is what a page says: line by line, with `...` for what may be anything.
//!
//! A line `...` stands for any number of lines, `...` within a line for any text. What was printed before the first and after
//! the last line of the page must be told with `...` as well. Trailing white space does not count.

/// # Errors
/// The first line of the page that was not found.
pub(crate) fn matches(page: &str, printed: &str) -> Result<(), String> {
    let page: Vec<&str> = page.lines().map(str::trim_end).collect();
    let printed: Vec<&str> = printed.trim_end().lines().map(str::trim_end).collect();
    let mut furthest = 0;
    if lines(&page, &printed, 0, &mut furthest) {
        return Ok(());
    }
    Err(page.get(furthest).map_or_else(|| "(its end)".to_owned(), |line| (*line).to_owned()))
}

fn lines(page: &[&str], printed: &[&str], at: usize, furthest: &mut usize) -> bool {
    *furthest = (*furthest).max(at);
    let Some(first) = page.first() else { return printed.is_empty() };
    if first.trim() == "..." {
        return (0..=printed.len()).any(|skipped| lines(&page[1..], &printed[skipped..], at + 1, furthest));
    }
    match printed.first() {
        Some(line) if like(first, line) => lines(&page[1..], &printed[1..], at + 1, furthest),
        _ => false,
    }
}

fn like(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = parts.next().and_then(|start| line.strip_prefix(start)) else { return false };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn dots_stand_for_anything() {
        assert_eq!(matches("a\n...\nd e ... g\n", "a\nb\nc\nd e f g\n"), Ok(()));
        assert_eq!(matches("a ...", "a b c"), Ok(()));
        assert_eq!(matches("...\nb\n...", "b"), Ok(()));
    }

    #[test]
    fn the_first_line_that_is_missing_is_named() {
        assert_eq!(matches("a\n...\nx\n", "a\nb\n"), Err("x".to_owned()));
        assert_eq!(matches("a", "a\nb"), Err("(its end)".to_owned()));
        assert_eq!(matches("a ... c", "a b d"), Err("a ... c".to_owned()));
    }
}
