//! Opens a connection to an endpoint that carries a client's bytes and nothing else, for a CONNECT that ends here.

use std::sync::Arc;

use http::Response;
use tokio::time::Instant;

use super::pool::Turn;
use super::send::{SendError, SendErrorKind};
use super::{EndpointState, connect};
use crate::body::Body;
use crate::cluster::ClusterState;
use crate::features::circuit_breaker::Permit;
use crate::features::timeout::AttemptLimit;
use crate::tunnel;

impl ClusterState {
    /// Connects to an endpoint within the circuit breaker's limits, as a request of its own, and answers 200 when the
    /// connection is there.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(crate) async fn connect_through(
        self: &Arc<Self>,
        endpoint: &Arc<EndpointState>,
        limit: &AttemptLimit,
    ) -> Result<Response<Body>, SendError> {
        let connected = self.connection_through(endpoint, limit).await;
        let endpoint = connected.map_err(|kind| SendError {
            kind,
            request: None,
        })?;
        Ok(Response::new(Body::switched(endpoint)))
    }

    async fn connection_through(
        self: &Arc<Self>,
        endpoint: &Arc<EndpointState>,
        limit: &AttemptLimit,
    ) -> Result<tunnel::Endpoint, SendErrorKind> {
        let breaker = self.policy().circuit_breaker.clone();
        let Some(pending) = Permit::take(&self.breaker.pending, breaker.max_pending_requests)
        else {
            self.stats.rq_pending_overflow.count();
            return Err(SendErrorKind::Overflow);
        };
        let slot = loop {
            let turn = match self.acquire(endpoint) {
                Ok(turn) => turn,
                Err(waiting) => waiting.await,
            };
            match turn {
                Turn::Open(slot) => break slot,
                // An idle one makes room for this one.
                Turn::Use(idle) => drop(idle),
                // Others speak HTTP/2 over it, which leaves no room.
                Turn::Share(_) => return Err(SendErrorKind::Overflow),
            }
        };
        let connection = connect::open_raw(self, endpoint, slot).await?;
        drop(pending);
        let max = breaker.max_parallel_requests;
        let Some(permit) = Permit::take(&self.breaker.requests, max) else {
            self.stats.rq_active_overflow.count();
            return Err(SendErrorKind::Overflow);
        };
        self.stats.rq_total.count();
        limit.connected(Instant::now());
        Ok(tunnel::Endpoint::new(
            connection,
            Box::new((permit, endpoint.begin())),
        ))
    }
}
