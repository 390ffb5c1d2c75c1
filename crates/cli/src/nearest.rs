//! The name that somebody probably meant.

/// The most edits between a name and what was typed for it.
const MAX_EDITS: usize = 3;

/// The candidate nearest to `typed`, if any is near enough to be worth naming.
pub(crate) fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = MAX_EDITS.min(typed.chars().count().div_ceil(2));
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(typed, candidate), candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_what_was_meant_and_nonsense_finds_nothing() {
        assert_eq!(nearest("lisen", ["listen", "data"]), Some("listen"));
        assert_eq!(nearest("dtaa", ["listen", "data"]), Some("data"));
        assert_eq!(nearest("completely-else", ["listen", "data"]), None);
        assert_eq!(nearest("x", ["listen", "data"]), None);
    }
}
