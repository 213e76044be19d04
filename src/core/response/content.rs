//! Content types of responses, and gRPC statuses. Must not depend on other modules.

/// What the content type of a response says about the way it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentKind {
    /// Any other.
    #[default]
    Plain,
    /// `text/event-stream`: the client ends such a response.
    EventStream,
    /// `application/grpc`, which ends with a status.
    Grpc,
    /// gRPC-Web and the streams of Connect, which have their status in the body.
    GrpcWeb,
    /// Another format of records that a server sends when it has them, such as NDJSON or a watch
    /// of Kubernetes.
    Records,
}

/// Media types of [`ContentKind::Records`].
const RECORDS: [&[u8]; 5] = [
    b"application/x-ndjson",
    b"application/ndjson",
    b"application/stream+json",
    b"application/json-seq",
    b"multipart/x-mixed-replace",
];

impl ContentKind {
    /// The kind of a `content-type`.
    pub fn of(content_type: &[u8]) -> Self {
        match content_type.strip_prefix(b"application/grpc") {
            Some([] | [b'+' | b';', ..]) => return Self::Grpc,
            Some([b'-', b'w', b'e', b'b', ..]) => return Self::GrpcWeb,
            _ => {}
        }
        if content_type.starts_with(b"application/connect+") {
            return Self::GrpcWeb;
        }
        let mut parts = content_type.split(|byte| *byte == b';');
        let media_type = parts.next().unwrap_or_default().trim_ascii();
        let is = |name: &&[u8]| media_type.eq_ignore_ascii_case(name);
        let watches = |part: &[u8]| part.trim_ascii().eq_ignore_ascii_case(b"stream=watch");
        if is(&&b"text/event-stream"[..]) {
            Self::EventStream
        } else if RECORDS.iter().any(is) || parts.any(watches) {
            Self::Records
        } else {
            Self::Plain
        }
    }
}

/// What the status of a gRPC call says about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcStatus {
    /// The service answered: 0 and unknown numbers.
    Success,
    /// No evidence about the service, as a 4xx in plain HTTP: 1 3 5 6 7 8 9 10 11 12 16. A client
    /// gets 12 (unimplemented) by naming a method that does not exist.
    Neutral,
    /// The service failed: 2 (unknown), 4 (deadline exceeded), 13 (internal), 14 (unavailable), 15
    /// (data loss).
    Failure,
}

impl GrpcStatus {
    /// The meaning of the value of a `grpc-status`. `None`: not a number.
    pub fn of(value: &[u8]) -> Option<Self> {
        let (digits, all) = (
            value.iter().filter(|byte| byte.is_ascii_digit()),
            value.len(),
        );
        if all == 0 || all > 9 || digits.count() < all {
            return None;
        }
        let number = value.iter().fold(0_u32, |number, digit| {
            let digit = u32::from(digit & 0xf);
            number.saturating_mul(10).saturating_add(digit)
        });
        Some(match number {
            2 | 4 | 13 | 14 | 15 => Self::Failure,
            1 | 3 | 5..=12 | 16 => Self::Neutral,
            _ => Self::Success,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_told_apart() {
        use ContentKind::{EventStream, Grpc, GrpcWeb, Plain, Records};
        for (content_type, kind) in [
            ("application/grpc", Grpc),
            ("application/grpc+proto", Grpc),
            ("application/grpc;v=1", Grpc),
            ("application/grpcfoo", Plain),
            ("application/grpc-foo", Plain),
            ("application/grpc-web", GrpcWeb),
            ("application/grpc-web+proto", GrpcWeb),
            ("application/grpc-web-text", GrpcWeb),
            ("application/json", Plain),
            ("text/event-stream", EventStream),
            ("Text/Event-Stream ; charset=utf-8", EventStream),
            ("text/event-streams", Plain),
            ("application/connect+json", GrpcWeb),
            ("application/connect", Plain),
            ("Application/X-NDJSON; charset=utf-8", Records),
            ("multipart/x-mixed-replace; boundary=frame", Records),
            ("application/json;stream=watch", Records),
            ("application/json; stream=watcher", Plain),
            ("", Plain),
        ] {
            let found = ContentKind::of(content_type.as_bytes());
            assert_eq!(found, kind, "{content_type}");
        }
        assert_eq!(ContentKind::of(b"\xff"), Plain);
    }

    #[test]
    fn a_grpc_status_is_a_success_a_failure_or_neither() {
        let of = |meaning| {
            let numbers = 0..=20_u32;
            let found =
                numbers.filter(|n| GrpcStatus::of(n.to_string().as_bytes()) == Some(meaning));
            found.collect::<Vec<_>>()
        };
        assert_eq!(of(GrpcStatus::Failure), [2, 4, 13, 14, 15]);
        assert_eq!(
            of(GrpcStatus::Neutral),
            [1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 16]
        );
        assert_eq!(of(GrpcStatus::Success), [0, 17, 18, 19, 20]);
        assert_eq!(GrpcStatus::of(b"014"), Some(GrpcStatus::Failure));
        for value in ["", "-1", "1.5", " 14", "fourteen", "4294967310"] {
            assert_eq!(GrpcStatus::of(value.as_bytes()), None, "{value:?}");
        }
        assert_eq!(GrpcStatus::of(b"\xff"), None);
    }
}
