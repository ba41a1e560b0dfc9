//! Enforces `faultInjection`: delays and aborts a share of the requests, before anything else is done with them.

use std::pin::pin;

use http::StatusCode;
use tokio::time::sleep;
use weir_plan::PerMillion;
use weir_plan::features::fault_injection::{Abort, AbortStatus, Delay, FaultInjection};

use crate::exchange::Exchange;
use crate::flags::Flag;
use crate::rejection::Rejection;
use crate::worker::Worker;

/// Draws whether a request is delayed, waits, and draws whether it is aborted. The two draws are independent.
pub(crate) async fn apply(
    faults: &FaultInjection,
    worker: &Worker,
    exchange: &mut Exchange,
) -> Result<(), Rejection> {
    let FaultInjection { delay, abort } = faults;
    if let Some(Delay { fixed, share }) = delay
        && is_drawn(*share, worker)
    {
        exchange.flags.add(Flag::DelayInjected);
        let waited = exchange.within(None, pin!(sleep(*fixed))).await;
        waited.map_err(|expired| expired.rejection(exchange.is_incomplete()))?;
    }
    match abort {
        Some(Abort { status, share }) if is_drawn(*share, worker) => Err(aborted(*status)),
        Some(_) | None => Ok(()),
    }
}

fn is_drawn(share: PerMillion, worker: &Worker) -> bool {
    share.covers(worker.rng().u32(..1_000_000))
}

fn aborted(status: AbortStatus) -> Rejection {
    let (status, grpc_status) = match status {
        AbortStatus::HttpStatus(status) => (status, None),
        AbortStatus::GrpcStatus(status) => (200, Some(status)),
    };
    // The plan has only statuses that exist; another one must not be mistaken for success.
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut rejection = Rejection::new(status, "fault_filter_abort")
        .body("fault filter abort")
        .flag(Flag::FaultInjected);
    rejection.grpc_status = grpc_status;
    rejection
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;

    #[test]
    fn aborts_take_the_form_that_the_client_understands() {
        // (abort, gRPC request, status, grpc-status, length of the body)
        let cases = [
            (AbortStatus::HttpStatus(503), false, 503, None, 18),
            (AbortStatus::HttpStatus(418), false, 418, None, 18),
            (AbortStatus::HttpStatus(503), true, 200, Some("14"), 0),
            (AbortStatus::GrpcStatus(5), true, 200, Some("5"), 0),
            (AbortStatus::GrpcStatus(5), false, 200, None, 18),
        ];
        for (abort, grpc, status, grpc_status, length) in cases {
            let response = aborted(abort).into_response(grpc, false);
            let header = response
                .headers()
                .get("grpc-status")
                .map(|it| it.to_str().unwrap());
            let found = (
                response.status().as_u16(),
                header,
                response.body().size_hint().exact(),
            );
            assert_eq!(
                found,
                (status, grpc_status, Some(length)),
                "{abort:?}, gRPC: {grpc}"
            );
        }
    }
}
