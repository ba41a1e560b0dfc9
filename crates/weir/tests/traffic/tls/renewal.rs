//! Sessions that go on, certificates that change, and those that are not there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::client::{Pair, Trust};
use super::{edge, listener, one, start};
use crate::backend::Backend;
use crate::client::wait_until;
use crate::gateway::{Gateway, route, to};

#[test]
fn sessions_resume_on_any_worker_and_under_other_plans() {
    let backend = Backend::named("app");
    let pair = Pair::of(&["shop.example.com"]);
    let documents = one(&backend, &pair);
    let [edge, secret, app, _] = documents.each_ref().map(String::as_str);
    let mut gateway = Gateway::setup()
        .workers(2)
        .start(&documents.each_ref().map(String::as_str));
    let address = gateway.address_of(443);
    let trust = Trust::of(&[&pair]);
    let connect = |trust: &Trust| {
        let secured = trust.connect(address, "shop.example.com").unwrap();
        let resumed = secured.is_resumed();
        // Tickets come with the first bytes after the handshake.
        assert_eq!(secured.client().get("shop.example.com", "/").status, 200);
        resumed
    };
    assert!(!connect(&trust));
    for _ in 0..8 {
        assert!(connect(&trust));
    }
    gateway.apply(&[
        edge,
        secret,
        app,
        &route("app", &format!("[{{backendRefs: [{}]}}]", to("app"))),
    ]);
    assert!(connect(&trust), "the certificate has not changed");
    assert_eq!(
        gateway.metric(&["weir_downstream_tls_handshakes_total", "resumed"]),
        9.0
    );

    let renewed = Pair::of(&["shop.example.com"]);
    gateway.apply(&[edge, &renewed.secret("cert"), app, &documents[3]]);
    let trust = Trust::of(&[&renewed]);
    assert!(!connect(&trust));
    assert!(connect(&trust));
}

#[test]
fn a_renewed_certificate_is_shown_at_once_and_drops_nothing() {
    let backend = Backend::named("app");
    let pairs: Vec<_> = (0..5).map(|_| Pair::of(&["shop.example.com"])).collect();
    let trust = Trust::of(&pairs.iter().collect::<Vec<_>>());
    let documents = one(&backend, &pairs[0]);
    let [edge, _, app, route] = documents.each_ref().map(String::as_str);
    let mut gateway = Gateway::setup()
        .workers(2)
        .start(&documents.each_ref().map(String::as_str));
    let address = gateway.address_of(443);
    let mut long = trust.connect(address, "shop.example.com").unwrap().client();
    assert_eq!(long.get("shop.example.com", "/").status, 200);
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let secured = trust.connect(address, "shop.example.com");
                    let mut client = secured.expect("every handshake is completed").client();
                    for _ in 0..3 {
                        assert_eq!(client.get("shop.example.com", "/").status, 200);
                    }
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for pair in &pairs[1..] {
            let before = served.load(Ordering::Relaxed);
            gateway.apply(&[edge, &pair.secret("cert"), app, route]);
            let fresh = Trust::of(&[pair]);
            let secured = fresh.connect(address, "shop.example.com");
            assert!(secured.expect("the new one is shown").shows(pair));
            wait_until("connections under the new certificate", || {
                served.load(Ordering::Relaxed) >= before + 6
            });
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(long.get("shop.example.com", "/").status, 200);
}

#[test]
fn an_expired_certificate_is_shown_all_the_same() {
    let expired = Pair::expired(&["shop.example.com"]);
    let backend = Backend::named("app");
    let gateway = start(&one(&backend, &expired));
    let refused = Trust::of(&[&expired]).connect(gateway.address_of(443), "shop.example.com");
    // It is the client who refuses: nobody else is served worse by it.
    assert!(refused.unwrap_err().to_string().contains("xpired"));
}

#[test]
fn a_listener_without_its_certificate_leaves_the_others_alone() {
    let backend = Backend::named("app");
    let (shop, far) = (
        Pair::of(&["shop.example.com"]),
        Pair::of(&["far.example.com"]),
    );
    let both = edge(&[
        &listener("shop", "shop.example.com", &["cert"]),
        "{name: far, protocol: HTTPS, port: 443, hostname: far.example.com, \
         tls: {certificateRefs: [{name: far, namespace: certs}]}}",
    ]);
    let grant = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n\
         metadata: {name: certs, namespace: certs}\n\
         spec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}], to: [{group: \"\", kind: Secret}]}\n";
    let (secret, app) = (shop.secret("cert"), backend.yaml("app"));
    let other = far
        .secret("far")
        .replace("{name: far}", "{name: far, namespace: certs}");
    let route = route("app", &format!("[{{backendRefs: [{}]}}]", to("app")));
    let mut gateway = Gateway::start(&[&both, &secret, &other, grant, &app, &route]);
    let address = gateway.address_of(443);
    let trust = Trust::of(&[&shop, &far]);
    let status = |name: &str| {
        let secured = trust.connect(address, name).ok()?;
        Some(secured.client().get(name, "/").status)
    };
    let statuses = || ["shop.example.com", "far.example.com"].map(status);
    assert_eq!(statuses(), [Some(200), Some(200)]);
    let mut long = trust.connect(address, "shop.example.com").unwrap().client();

    gateway.apply(&[&both, &secret, &other, &app, &route]); // the grant is revoked
    assert_eq!(statuses(), [Some(200), None]);
    gateway.apply(&[&both, &secret, &other, grant, &app, &route]);
    assert_eq!(statuses(), [Some(200), Some(200)]);
    gateway.apply(&[&both, &secret, grant, &app, &route]); // the Secret is gone
    assert_eq!(statuses(), [Some(200), None]);
    assert_eq!(long.get("shop.example.com", "/").status, 200);
}
