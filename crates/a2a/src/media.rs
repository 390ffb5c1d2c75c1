//! Media types: which content an agent takes.

use crate::{
    A2aError, ErrorKind,
    error::shown,
    types::{Part, PartContent},
};

/// The media type of a part: what it says, or its content's usual one.
#[must_use]
pub fn media_type(part: &Part) -> &str {
    match (&part.media_type, &part.content) {
        (Some(media_type), _) => media_type.split(';').next().unwrap_or_default().trim(),
        (None, PartContent::Text(_)) => "text/plain",
        (None, PartContent::Data(_)) => "application/json",
        (None, PartContent::Raw(_) | PartContent::Url(_)) => "application/octet-stream",
    }
}

/// Whether a mode of a card, such as `text/plain`, `image/*` or `*/*`, covers a media type.
#[must_use]
pub fn covers(mode: &str, media_type: &str) -> bool {
    let mode = mode.split(';').next().unwrap_or_default().trim();
    if mode == "*" || mode == "*/*" || mode.eq_ignore_ascii_case(media_type) {
        return true;
    }
    let Some(kind) = mode.strip_suffix("/*") else { return false };
    media_type.split_once('/').is_some_and(|(of, _)| of.eq_ignore_ascii_case(kind))
}

/// Checks that an agent takes every part. No modes at all means that it has not said, and takes any.
///
/// # Errors
/// [`ErrorKind::ContentTypeNotSupported`] naming the first part that it does not take.
pub fn check_parts(parts: &[Part], modes: &[String]) -> Result<(), A2aError> {
    if modes.is_empty() {
        return Ok(());
    }
    let refused = parts.iter().map(media_type).find(|media_type| !modes.iter().any(|mode| covers(mode, media_type)));
    match refused {
        None => Ok(()),
        Some(media_type) => Err(A2aError::new(
            ErrorKind::ContentTypeNotSupported,
            format!("the agent does not take `{}`: it takes {}", shown(media_type), modes.join(", ")),
        )
        .with("mediaType", shown(media_type))),
    }
}
