//! The request path allocates a fixed, small number of times per request.
//!
//! Client and backend here allocate nothing while they work, so that what is counted is the gateway's own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

#[path = "traffic/backend.rs"]
#[expect(dead_code, reason = "the traffic tests use the rest")]
mod backend;
#[path = "traffic/client.rs"]
#[expect(dead_code, reason = "the traffic tests use the rest")]
mod client;
#[path = "traffic/gateway.rs"]
#[expect(dead_code, reason = "the traffic tests use the rest")]
mod gateway;

use gateway::{EDGE, Gateway, policy, route_all};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const REQUEST: &[u8] =
    b"GET /path HTTP/1.1\r\nhost: any.example\r\nuser-agent: test\r\naccept: */*\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n\r\nok";

const POLICIES: &str = "timeout: {http: {requestTimeout: 5s, streamIdleTimeout: 5s}, tcp: {connectTimeout: 1s}}, \
    retry: {numRetries: 2, retryOn: {triggers: [5xx]}}, circuitBreaker: {maxConnections: 100}, \
    faultInjection: {abort: {httpStatus: 503, percentage: 0}}, loadBalancer: {type: RoundRobin}, \
    rateLimit: {local: {rules: [{limit: {requests: 1000000, unit: Hour}}]}, \
    global: {rules: [{limit: {requests: 1000000, unit: Hour}}]}}";

#[test]
fn a_request_costs_the_same_few_allocations_each_time() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let backend = backend();
    // The most allocations that one small keep-alive GET may cost, without settings and with all of them.
    for (settings, bound) in [("timeout: {}", 16), (POLICIES, 40)] {
        let gateway = Gateway::start(&[
            EDGE,
            &backend,
            &route_all("app"),
            &policy("all", "HTTPRoute app", settings),
        ]);
        let mut client =
            TcpStream::connect(gateway.address()).expect("the gateway accepts connections");
        exchange(&mut client, 100); // pools and buffers are made
        let mut count = |requests| {
            let before = dhat::HeapStats::get().total_blocks;
            exchange(&mut client, requests);
            dhat::HeapStats::get().total_blocks - before
        };
        // The least of some rounds: now and then a timer or another thread allocates something of its own.
        let mut least = |requests| (0..5).map(|_| count(requests)).min().unwrap_or_default();
        let (hundred, two_hundred) = (least(100), least(200));
        assert_eq!(
            two_hundred,
            2 * hundred,
            "not the same each time: {hundred} over 100 requests, {two_hundred} over 200"
        );
        let each = hundred / 100;
        assert!(
            each <= bound,
            "{each} allocations per request, with {settings}"
        );
    }
}

/// So many requests, one after the other.
fn exchange(client: &mut TcpStream, requests: usize) {
    let mut buffer = [0; 1024];
    for _ in 0..requests {
        client
            .write_all(REQUEST)
            .expect("the gateway takes requests");
        let mut filled = 0;
        while !buffer[..filled].ends_with(b"\r\n\r\nok") {
            let read = client
                .read(&mut buffer[filled..])
                .expect("the gateway answers");
            assert_ne!(read, 0, "the connection ended");
            filled += read;
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"));
    }
}

/// A backend that answers without allocating; its object `app`.
fn backend() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a descriptor is free");
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                let mut filled = 0;
                loop {
                    match stream.read(&mut buffer[filled..]) {
                        Ok(0) | Err(_) => return,
                        Ok(read) => filled += read,
                    }
                    if buffer[..filled].ends_with(b"\r\n\r\n") {
                        filled = 0;
                        if stream.write_all(RESPONSE).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: Backend\nmetadata: {{name: app}}\n\
         spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {port}}}}}]}}\n"
    )
}
