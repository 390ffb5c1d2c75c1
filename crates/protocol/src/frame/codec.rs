//! The envelope of a frame: length, header, attachments.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// A frame that is not what the contract says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Fewer bytes than the lengths promise.
    #[error("the frame ends early: {promised} bytes promised, {present} present")]
    Truncated {
        /// Bytes that the lengths promise.
        promised: usize,
        /// Bytes that there are.
        present: usize,
    },
    /// More bytes than the lengths promise.
    #[error("{0} bytes follow the frame's last attachment")]
    Trailing(usize),
    /// The header is not the JSON that it should be.
    #[error("the frame's header cannot be read: {0}")]
    Header(String),
    /// An `{"$att":i}` that names no attachment.
    #[error("the frame names attachment {0}, which it does not carry")]
    NoSuchAttachment(usize),
    /// A frame of another revision.
    #[error("the frame is of revision {0}, this side speaks 1")]
    Version(u32),
}

#[derive(serde::Deserialize)]
struct AttachmentLengths {
    #[serde(default)]
    att: Vec<u32>,
}

/// Splits a frame into its header and its attachments, without reading the rest of the header.
///
/// # Errors
/// [`FrameError`] where the lengths do not agree with the bytes.
pub fn split(frame: &[u8]) -> Result<(&[u8], Vec<Bytes>), FrameError> {
    let truncated = |promised| FrameError::Truncated { promised, present: frame.len() };
    let (length, rest) = frame.split_first_chunk::<4>().ok_or_else(|| truncated(4))?;
    let length = u32::from_le_bytes(*length) as usize;
    let header = rest.get(..length).ok_or_else(|| truncated(length.saturating_add(4)))?;
    let mut tail = &rest[length..];
    if tail.is_empty() && !contains(header, b"\"att\"") {
        return Ok((header, Vec::new()));
    }
    let lengths: AttachmentLengths = parse(header)?;
    let mut attachments = Vec::with_capacity(lengths.att.len().min(64));
    for length in lengths.att {
        let length = length as usize;
        let bytes = tail.get(..length).ok_or_else(|| truncated((frame.len() - tail.len()).saturating_add(length)))?;
        attachments.push(Bytes::copy_from_slice(bytes));
        tail = &tail[length..];
    }
    if tail.is_empty() { Ok((header, attachments)) } else { Err(FrameError::Trailing(tail.len())) }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Reads a header. It must be an object: serde would also take an array of the fields' values.
pub(super) fn parse<T: DeserializeOwned>(header: &[u8]) -> Result<T, FrameError> {
    if header.trim_ascii_start().first() != Some(&b'{') {
        return Err(FrameError::Header("it is not a JSON object".to_owned()));
    }
    serde_json::from_slice(header).map_err(|error| FrameError::Header(error.to_string()))
}

/// Collects attachments while a header is written.
#[derive(Default)]
pub(super) struct Attachments(Vec<Bytes>);

impl Attachments {
    pub(super) fn add(&mut self, bytes: Bytes) -> usize {
        self.0.push(bytes);
        self.0.len() - 1
    }

    pub(super) fn lengths(&self) -> Vec<u32> {
        self.0.iter().map(|bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX)).collect()
    }
}

/// Writes a frame. The header must already carry the attachments' lengths.
#[expect(clippy::cast_possible_truncation, reason = "frames are limited to far less than 4 GiB on both sides")]
pub(super) fn write<T: Serialize>(header: &T, attachments: &Attachments) -> Bytes {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, header).expect("frame headers have text keys and write to memory");
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    for attachment in &attachments.0 {
        frame.extend_from_slice(attachment);
    }
    frame.into()
}
