//! What can go wrong in A2A, and how each binding writes it: the one place that maps.

use bivouac_protocol::Json;
use serde::Serialize;
use std::collections::BTreeMap;
use thiserror::Error;

/// Who gives the reasons in an error's details.
pub const DOMAIN: &str = "a2a-protocol.org";
/// Who gives the reasons that the protocol does not know.
pub const OWN_DOMAIN: &str = "bivouac";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// Kinds of errors: a name, the code of JSON-RPC, the status of HTTP, its name at Google, the reason in the details.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident: $code:literal, $http:literal, $status:literal, $reason:literal, $domain:ident;)*) => {
        /// What kind of error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ErrorKind {
            $($(#[$doc])* $kind,)*
        }

        impl ErrorKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The code of JSON-RPC.
            #[must_use]
            pub const fn code(self) -> i32 {
                match self { $(Self::$kind => $code,)* }
            }

            /// The status of HTTP, where the binding is HTTP+JSON.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$kind => $http,)* }
            }

            /// The name of the gRPC status.
            #[must_use]
            pub const fn status(self) -> &'static str {
                match self { $(Self::$kind => $status,)* }
            }

            /// The reason in `google.rpc.ErrorInfo`.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$kind => $reason,)* }
            }

            /// Who gives the reason.
            #[must_use]
            pub const fn domain(self) -> &'static str {
                match self { $(Self::$kind => $domain,)* }
            }
        }
    };
}

kinds! {
    /// No such task, or none that the caller may know of.
    TaskNotFound: -32001, 404, "NOT_FOUND", "TASK_NOT_FOUND", DOMAIN;
    /// The task has ended.
    TaskNotCancelable: -32002, 400, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE", DOMAIN;
    /// The agent sends no notifications.
    PushNotificationNotSupported: -32003, 400, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED", DOMAIN;
    /// The agent, or the task as it stands, cannot do this.
    UnsupportedOperation: -32004, 400, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION", DOMAIN;
    /// The agent does not take content of that media type.
    ContentTypeNotSupported: -32005, 400, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED", DOMAIN;
    /// The agent's answer is not what the protocol says.
    InvalidAgentResponse: -32006, 500, "INTERNAL", "INVALID_AGENT_RESPONSE", DOMAIN;
    /// The agent declares an extended card and has none.
    ExtendedAgentCardNotConfigured: -32007, 400, "FAILED_PRECONDITION", "EXTENDED_AGENT_CARD_NOT_CONFIGURED", DOMAIN;
    /// The agent demands an extension that the client does not declare.
    ExtensionSupportRequired: -32008, 400, "FAILED_PRECONDITION", "EXTENSION_SUPPORT_REQUIRED", DOMAIN;
    /// The protocol's version is not one that is spoken here.
    VersionNotSupported: -32009, 400, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED", DOMAIN;

    /// The body is not JSON.
    Parse: -32700, 400, "INVALID_ARGUMENT", "PARSE_ERROR", DOMAIN;
    /// The body is JSON, and not a request.
    InvalidRequest: -32600, 400, "INVALID_ARGUMENT", "INVALID_REQUEST", DOMAIN;
    /// No such method or path.
    MethodNotFound: -32601, 404, "NOT_FOUND", "METHOD_NOT_FOUND", DOMAIN;
    /// The path is known, the HTTP method is not.
    MethodNotAllowed: -32601, 405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", OWN_DOMAIN;
    /// A parameter is missing or not what it has to be.
    InvalidParams: -32602, 400, "INVALID_ARGUMENT", "INVALID_PARAMS", DOMAIN;
    /// A fault of the server's.
    Internal: -32603, 500, "INTERNAL", "INTERNAL_ERROR", DOMAIN;

    /// The request carries no key, or one that is not valid.
    Unauthenticated: -32040, 401, "UNAUTHENTICATED", "UNAUTHENTICATED", OWN_DOMAIN;
    /// The key does not allow this.
    PermissionDenied: -32041, 403, "PERMISSION_DENIED", "PERMISSION_DENIED", OWN_DOMAIN;
    /// The message's id stands for another message already.
    MessageIdConflict: -32042, 409, "ALREADY_EXISTS", "MESSAGE_ID_CONFLICT", OWN_DOMAIN;
    /// The task holds more than one request can show.
    TaskTooLarge: -32043, 400, "OUT_OF_RANGE", "TASK_TOO_LARGE", OWN_DOMAIN;
    /// The body is larger than is taken.
    PayloadTooLarge: -32044, 413, "OUT_OF_RANGE", "PAYLOAD_TOO_LARGE", OWN_DOMAIN;
    /// More at once than is taken.
    Overloaded: -32045, 429, "RESOURCE_EXHAUSTED", "OVERLOADED", OWN_DOMAIN;
    /// Not now, later perhaps.
    Unavailable: -32046, 503, "UNAVAILABLE", "UNAVAILABLE", OWN_DOMAIN;
}

impl ErrorKind {
    /// The kind that a peer's code of JSON-RPC means, where it is one of those above.
    #[must_use]
    pub fn of_code(code: i64) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| i64::from(kind.code()) == code)
    }

    /// The kind that a peer's reason means, where it is one of those above.
    #[must_use]
    pub fn of_reason(reason: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.reason() == reason)
    }

    /// Whether it concerns the connection and not the protocol: its HTTP status holds in JSON-RPC too.
    #[must_use]
    pub const fn is_of_transport(self) -> bool {
        matches!(
            self,
            Self::Unauthenticated
                | Self::PermissionDenied
                | Self::MethodNotAllowed
                | Self::PayloadTooLarge
                | Self::Overloaded
                | Self::Unavailable
        )
    }
}

/// An error of the protocol: its kind, and what happened, why and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct A2aError {
    /// What kind.
    pub kind: ErrorKind,
    /// What happened, why, and what to do.
    pub message: String,
    /// Details, by name.
    pub metadata: BTreeMap<String, String>,
    /// In how many seconds to try again, where that helps.
    pub retry_after: Option<u32>,
}

impl A2aError {
    /// An error of that kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), metadata: BTreeMap::new(), retry_after: None }
    }

    /// A parameter is missing or not what it has to be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidParams, message)
    }

    /// No such task, or none that the caller may know of: the same words either way.
    #[must_use]
    pub fn task_not_found(id: &str) -> Self {
        let message = format!("there is no task `{}` of this agent that you may see", shown(id));
        Self::new(ErrorKind::TaskNotFound, message)
    }

    /// With a detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(name.to_owned(), value.into());
        self
    }

    /// The error as JSON-RPC writes it, the value of `error`.
    #[must_use]
    pub fn to_json_rpc(&self) -> Json {
        #[derive(Serialize)]
        struct Wire<'a> {
            code: i32,
            message: &'a str,
            data: [Details<'a>; 1],
        }
        let wire = Wire { code: self.kind.code(), message: &self.message, data: [self.details()] };
        Json::of(&wire).expect("an error has text keys")
    }

    /// The error as HTTP+JSON writes it, the whole body.
    #[must_use]
    pub fn to_http_json(&self) -> Json {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Wire<'a>,
        }
        #[derive(Serialize)]
        struct Wire<'a> {
            code: u16,
            status: &'a str,
            message: &'a str,
            details: [Details<'a>; 1],
        }
        let wire = Wire {
            code: self.kind.http_status(),
            status: self.kind.status(),
            message: &self.message,
            details: [self.details()],
        };
        Json::of(&Body { error: wire }).expect("an error has text keys")
    }

    fn details(&self) -> Details<'_> {
        Details { kind: ERROR_INFO, reason: self.kind.reason(), domain: self.kind.domain(), metadata: &self.metadata }
    }
}

#[derive(Serialize)]
struct Details<'a> {
    #[serde(rename = "@type")]
    kind: &'static str,
    reason: &'static str,
    domain: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
}

/// The longest piece of a request that a message repeats, in characters.
const MAX_SHOWN: usize = 100;

/// What a request said, short and printable enough to be repeated in a message.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
