//! Enforces `retry`: which outcomes are worth another attempt, and how long to wait before it.
//!
//! There is no look at the method: a POST is retried like a GET, as in Envoy. What has been forwarded to the client is
//! never retried.

use std::time::Duration;

use http::{HeaderMap, Response};
use weir_plan::features::retry::{BackOff, Retry, RetryTrigger};

use crate::body::Body;
use crate::upstream::{SendError, SendErrorKind};

/// What came of an attempt.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A response, of which only the head is looked at.
    Response(Response<Body>),
    /// None.
    Failed(SendError),
    /// None in time: the attempt's own limit passed.
    OutOfTime,
}

/// Whether an outcome is one of those that a policy retries.
pub(crate) fn is_retriable(policy: &Retry, outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Response(response) => {
            let status = response.status().as_u16();
            let headers = response.headers();
            !headers.contains_key("x-envoy-ratelimited")
                && policy
                    .triggers
                    .iter()
                    .any(|trigger| covers(*trigger, policy, status, headers))
        }
        Outcome::Failed(SendError { kind, request }) => match failure(kind) {
            Some(failure) => {
                let unsent = request.is_some();
                policy
                    .triggers
                    .iter()
                    .any(|it| covers_failure(*it, failure, unsent))
            }
            None => false,
        },
        Outcome::OutOfTime => policy
            .triggers
            .iter()
            .any(|it| covers_failure(*it, Failure::Reset, false)),
    }
}

fn covers(trigger: RetryTrigger, policy: &Retry, status: u16, headers: &HeaderMap) -> bool {
    let grpc = |status: &[u8]| {
        headers
            .get("grpc-status")
            .is_some_and(|it| it.as_bytes() == status)
    };
    match trigger {
        RetryTrigger::ServerError => (500..600).contains(&status),
        RetryTrigger::GatewayError => (502..=504).contains(&status),
        RetryTrigger::Retriable4xx => status == 409,
        RetryTrigger::RetriableStatusCodes => policy.status_codes.contains(&status),
        RetryTrigger::Cancelled => grpc(b"1"),
        RetryTrigger::DeadlineExceeded => grpc(b"4"),
        RetryTrigger::ResourceExhausted => grpc(b"8"),
        RetryTrigger::Internal => grpc(b"13"),
        RetryTrigger::Unavailable => grpc(b"14"),
        RetryTrigger::Reset
        | RetryTrigger::ResetBeforeRequest
        | RetryTrigger::ConnectFailure
        | RetryTrigger::RefusedStream => false,
    }
}

/// Why there was no response, as triggers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Connect,
    Reset,
    Refused,
}

/// None: it was not the backend's doing.
const fn failure(kind: &SendErrorKind) -> Option<Failure> {
    match kind {
        SendErrorKind::Connect { .. } | SendErrorKind::ConnectTimeout => Some(Failure::Connect),
        SendErrorKind::Refused => Some(Failure::Refused),
        SendErrorKind::Terminated | SendErrorKind::Reset | SendErrorKind::Protocol(_) => {
            Some(Failure::Reset)
        }
        SendErrorKind::Overflow | SendErrorKind::NotOffered | SendErrorKind::RequestBody(_) => None,
    }
}

const fn covers_failure(trigger: RetryTrigger, failure: Failure, unsent: bool) -> bool {
    match trigger {
        RetryTrigger::ServerError | RetryTrigger::GatewayError | RetryTrigger::Reset => true,
        RetryTrigger::ResetBeforeRequest => unsent,
        RetryTrigger::ConnectFailure => matches!(failure, Failure::Connect),
        RetryTrigger::RefusedStream => matches!(failure, Failure::Refused),
        RetryTrigger::Retriable4xx
        | RetryTrigger::RetriableStatusCodes
        | RetryTrigger::Cancelled
        | RetryTrigger::DeadlineExceeded
        | RetryTrigger::Internal
        | RetryTrigger::ResourceExhausted
        | RetryTrigger::Unavailable => false,
    }
}

/// The pause before a retry, the first of which is number 1.
pub(crate) fn pause(back_off: &BackOff, retry: u32, rng: &mut fastrand::Rng) -> Duration {
    let BackOff { base, max } = back_off;
    // Envoy counts in whole milliseconds, one at least.
    let millis = |it: &Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX).max(1);
    let growth = 1_u64
        .checked_shl(retry)
        .unwrap_or(u64::MAX)
        .saturating_sub(1);
    let most = millis(base).saturating_mul(growth).min(millis(max));
    Duration::from_nanos(rng.u64(..most.saturating_mul(1_000_000)))
}

#[cfg(test)]
mod tests {
    use http::{Request, StatusCode};

    use super::*;

    fn policy(triggers: &[RetryTrigger]) -> Retry {
        Retry {
            num_retries: 2,
            triggers: triggers.iter().copied().collect(),
            status_codes: [503].into(),
            per_try_timeout: None,
            back_off: BackOff::DEFAULT,
            num_attempts_per_priority: None,
        }
    }

    fn response(status: u16, header: Option<(&'static str, &str)>) -> Outcome {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        Outcome::Response(response)
    }

    fn failed(kind: SendErrorKind, unsent: bool) -> Outcome {
        Outcome::Failed(SendError {
            kind,
            request: unsent.then(|| Request::new(Body::empty())),
        })
    }

    /// Every trigger, with the outcomes below that it covers.
    #[test]
    fn triggers_cover_what_they_are_specified_to() {
        let refused = || SendErrorKind::Connect {
            reason: "refused".into(),
        };
        let outcomes = [
            ("500", response(500, None)),
            ("503", response(503, None)),
            ("504", response(504, None)),
            ("409", response(409, None)),
            ("429", response(429, None)),
            (
                "503 limited",
                response(503, Some(("x-envoy-ratelimited", "true"))),
            ),
            ("grpc 1", response(200, Some(("grpc-status", "1")))),
            ("grpc 4", response(200, Some(("grpc-status", "4")))),
            ("grpc 8", response(200, Some(("grpc-status", "8")))),
            ("grpc 13", response(200, Some(("grpc-status", "13")))),
            ("grpc 14", response(200, Some(("grpc-status", "14")))),
            ("grpc 0", response(200, Some(("grpc-status", "0")))),
            ("refused", failed(refused(), true)),
            (
                "connect timeout",
                failed(SendErrorKind::ConnectTimeout, true),
            ),
            ("closed", failed(SendErrorKind::Terminated, false)),
            ("closed unsent", failed(SendErrorKind::Terminated, true)),
            (
                "garbage",
                failed(SendErrorKind::Protocol("x".into()), false),
            ),
            ("overflow", failed(SendErrorKind::Overflow, true)),
            (
                "client",
                failed(SendErrorKind::RequestBody("x".into()), false),
            ),
            ("per try", Outcome::OutOfTime),
        ];
        let no_response = "refused, connect timeout, closed, closed unsent, garbage, per try";
        let cases = [
            (
                RetryTrigger::ServerError,
                format!("500, 503, 504, {no_response}"),
            ),
            (
                RetryTrigger::GatewayError,
                format!("503, 504, {no_response}"),
            ),
            (RetryTrigger::Reset, no_response.to_owned()),
            (
                RetryTrigger::ResetBeforeRequest,
                "refused, connect timeout, closed unsent".to_owned(),
            ),
            (
                RetryTrigger::ConnectFailure,
                "refused, connect timeout".to_owned(),
            ),
            (RetryTrigger::Retriable4xx, "409".to_owned()),
            (RetryTrigger::RefusedStream, String::new()),
            (RetryTrigger::RetriableStatusCodes, "503".to_owned()),
            (RetryTrigger::Cancelled, "grpc 1".to_owned()),
            (RetryTrigger::DeadlineExceeded, "grpc 4".to_owned()),
            (RetryTrigger::Internal, "grpc 13".to_owned()),
            (RetryTrigger::ResourceExhausted, "grpc 8".to_owned()),
            (RetryTrigger::Unavailable, "grpc 14".to_owned()),
        ];
        for (trigger, expected) in cases {
            let policy = policy(&[trigger]);
            let covered = outcomes.iter().filter(|(_, it)| is_retriable(&policy, it));
            let covered: Vec<_> = covered.map(|(name, _)| *name).collect();
            assert_eq!(covered.join(", "), expected, "{trigger:?}");
        }
        assert!(
            outcomes
                .iter()
                .all(|(_, it)| !is_retriable(&policy(&[]), it))
        );
    }

    #[test]
    fn pauses_grow_up_to_their_maximum_and_are_spread_evenly() {
        let ms = Duration::from_millis;
        let back_off = BackOff {
            base: ms(100),
            max: ms(300),
        };
        let mut rng = fastrand::Rng::with_seed(1);
        for (retry, most) in [
            (1, 100),
            (2, 300),
            (3, 300),
            (63, 300),
            (64, 300),
            (u32::MAX, 300),
        ] {
            let pauses: Vec<_> = (0..1_000)
                .map(|_| pause(&back_off, retry, &mut rng))
                .collect();
            let longest = pauses.iter().max().unwrap();
            let shortest = pauses.iter().min().unwrap();
            assert!(
                *longest < ms(most) && *longest > ms(most * 9 / 10),
                "{retry}: {longest:?}"
            );
            assert!(*shortest < ms(most / 10), "{retry}: {shortest:?}");
        }
        let tiny = BackOff {
            base: Duration::from_nanos(1),
            max: Duration::from_nanos(1),
        };
        assert!(pause(&tiny, 1, &mut rng) < ms(1));
    }
}
