//! What a plugin can reach is what was asked for and granted, and not the least bit more; each refusal says why.

#[path = "support/server.rs"]
mod server;
mod support;

use hostler_model::{Slug, Timestamp};
use hostler_plugin::{
    Egress, Failure, Grants, HttpGrant, KvReader, LimitSettings, Narrowing, Plugin, SecretBytes, SecretGrant,
    SecretReader, Services, Subscription, UrlPattern, Use,
};
use serde_json::{Value, json};
use server::Server;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{House, house_with, plugins, slug, source, subscription, versatile};

const AT: Timestamp = Timestamp(1_700_000_000_000);

/// Names that the tests use; all of them lead to this machine.
fn resolver() -> hostler_plugin::Resolver {
    Arc::new(|host, port| {
        Box::pin(async move {
            match host.as_str() {
                "named.example" | "other.example" => Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))]),
                _ => Err(std::io::Error::other("no such name")),
            }
        })
    })
}

fn secrets() -> SecretReader {
    SecretReader::new(|namespace, name| {
        assert_eq!(namespace.as_str(), "default");
        let values: &[&[u8]] = match name.as_str() {
            "stored-token" => &[b"t0p-s3cret"],
            "stored-webhook" => &[b"new-key", b"old-key"],
            "stored-open" => &[b"in the open"],
            _ => &[],
        };
        Ok(values.iter().map(|value| SecretBytes::new(value.to_vec())).collect())
    })
}

fn place() -> House {
    house_with(Services {
        egress: Egress::default().with_resolver(resolver()),
        secrets: secrets(),
        ..Services::default()
    })
}

fn url(text: &str) -> UrlPattern {
    UrlPattern::parse(text).expect("a pattern")
}

fn http(pattern: &str, private: bool) -> HttpGrant {
    HttpGrant { url: url(pattern), methods: Vec::new(), private }
}

fn secret(stored: &str, uses: &[&str]) -> SecretGrant {
    let uses = uses.iter().map(|text| Use::parse(text).expect("a use")).collect();
    SecretGrant { secret: slug(stored), uses, urls: Vec::new() }
}

fn grants_of_secrets() -> Grants {
    let secrets = [
        ("token", secret("stored-token", &["bearer", "equals"])),
        ("webhook", secret("stored-webhook", &["verify:hmac-sha256", "sign:hmac-sha256"])),
        ("open", secret("stored-open", &["reveal"])),
    ];
    Grants { secrets: secrets.map(|(name, grant)| (slug(name), grant)).into(), ..Grants::default() }
}

async fn loaded(house: &House, grants: Grants, limits: LimitSettings) -> Plugin {
    let source = hostler_plugin::PluginSource { grants, limits, ..source("versatile", &versatile()) };
    plugins(house, vec![source]).await.get("versatile").expect("loaded")
}

/// What an act answered.
async fn act(plugin: &Plugin, act: Value) -> Value {
    act_as(plugin, &subscription(json!({ "act": act }))).await
}

async fn act_as(plugin: &Plugin, subscription: &Subscription) -> Value {
    let woken = plugin.wake(subscription, AT, KvReader::empty()).await.expect("an answer");
    serde_json::from_str(&woken.note.expect("a note")).expect("JSON")
}

fn get(url: &str) -> Value {
    json!({"op": "http", "url": url})
}

fn refusal(told: &Value) -> (&str, &str) {
    (told["refused"].as_str().unwrap_or("-"), told["message"].as_str().unwrap_or("-"))
}

#[tokio::test]
async fn a_request_goes_where_it_is_asked_for_and_granted_and_nowhere_else() {
    let (house, server) = (place(), Server::start().await);
    let granted = Grants { http: vec![http(&server.url("/granted/"), true)], ..Grants::default() };
    let plugin = loaded(&house, granted, LimitSettings::default()).await;
    let good =
        act(&plugin, json!({"op": "http", "url": server.url("/granted/x?q=1"), "headers": {"x-own": "1"}})).await;
    assert_eq!((&good["ok"]["status"], &good["ok"]["body"]), (&json!(200), &json!("at /granted/x")));
    for (wrong, why) in [
        (server.url("/other"), "not granted"),
        (server.url("/granted/../other"), "not granted"),
        ("http://elsewhere.example/".into(), "its manifest does not ask for this address"),
        (format!("http://named.example:{}/", server.port), "not granted"),
        (server.url("/granted/%2e%2e/other"), "not granted"),
        (server.url("/granted/..%2fother"), "encoded slash"),
        (format!("http://user:pw@127.0.0.1:{}/granted/", server.port), "user or password"),
        ("file:///etc/passwd".into(), "no http or https URL"),
    ] {
        let told = act(&plugin, get(&wrong)).await;
        let (kind, message) = refusal(&told);
        assert!(kind == "denied" && message.contains(why), "{wrong}: {told}");
    }
    let host = act(&plugin, json!({"op": "http", "url": server.url("/granted/"), "headers": {"host": "evil"}})).await;
    assert!(refusal(&host).1.contains("the host's to set"), "{host}");
    let came = server.came();
    assert_eq!(came.len(), 1, "nothing else was sent: {came:?}");
    assert_eq!(came[0].headers["x-own"], "1");
    assert_eq!(came[0].headers["host"], format!("127.0.0.1:{}", server.port));
    let denied: Vec<_> = plugin.calls().into_iter().filter(|call| !call.denials.is_empty()).collect();
    assert!(denied.len() >= 4 && plugin.counts().denials >= 4, "refusals are in the records of calls");
}

#[tokio::test]
async fn an_address_of_this_machine_needs_a_grant_of_its_own_whatever_name_stands_for_it() {
    let (house, server) = (place(), Server::start().await);
    let named = format!("http://named.example:{}/", server.port);
    let plugin = |private| {
        let grants = Grants { http: vec![http(&named, private)], ..Grants::default() };
        loaded(&house, grants, LimitSettings::default())
    };
    let told = act(&plugin(false).await, get(&named)).await;
    assert!(refusal(&told).0 == "denied" && refusal(&told).1.contains("127.0.0.1, which is this machine"), "{told}");
    assert!(server.came().is_empty());
    let told = act(&plugin(true).await, get(&named)).await;
    assert_eq!(told["ok"]["status"], 200, "{told}");
}

#[tokio::test]
async fn a_redirect_is_looked_at_like_the_request_itself() {
    let (house, server) = (place(), Server::start().await);
    let own = http(&server.url("/"), true);
    let plugin = loaded(&house, Grants { http: vec![own], ..Grants::default() }, LimitSettings::default()).await;
    let metadata = act(&plugin, get(&server.url("/metadata"))).await;
    assert!(refusal(&metadata).0 == "denied" && refusal(&metadata).1.contains("169.254.169.254"), "{metadata}");
    let elsewhere = act(&plugin, get(&server.url("/elsewhere"))).await;
    assert!(refusal(&elsewhere).0 == "denied" && refusal(&elsewhere).1.contains("other.example"), "{elsewhere}");
    let round = act(&plugin, get(&server.url("/round"))).await;
    assert_eq!(refusal(&round), ("limit", "more than 5 redirects"));
    let moved = act(&plugin, json!({"op": "http", "method": "POST", "url": server.url("/moved"), "body": "b"})).await;
    assert_eq!(moved["ok"]["body"], "at /here", "{moved}");
    let last = server.came().pop().expect("requests came");
    assert_eq!((last.method.as_str(), last.body.len()), ("GET", 0), "303 turns into a GET without a body");
    assert!(server.came().iter().all(|came| came.path != "/stolen"));
}

#[tokio::test]
async fn metadata_addresses_need_to_be_named_as_such() {
    let house = place();
    let grant = |private| Grants { http: vec![http("http://169.254.169.254/", private)], ..Grants::default() };
    let asked = json!({"op": "http", "url": "http://169.254.169.254/latest/", "timeout_ms": 200});
    let told = act(&loaded(&house, grant(false), LimitSettings::default()).await, asked.clone()).await;
    assert!(refusal(&told).0 == "denied" && refusal(&told).1.contains("link-local"), "{told}");
    // Granted by its own address it is tried, and here nobody answers.
    let told = act(&loaded(&house, grant(true), LimitSettings::default()).await, asked).await;
    assert_ne!(refusal(&told).0, "denied", "{told}");
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_connected_to() {
    let server = Server::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    // First an address of nobody's, then this machine: what a hostile name server answers.
    let changing: hostler_plugin::Resolver = Arc::new(move |_, port| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        let address = if first { [203, 0, 113, 1] } else { [127, 0, 0, 1] };
        Box::pin(async move { Ok(vec![SocketAddr::from((address, port))]) })
    });
    let house = house_with(Services {
        egress: Egress::default().with_resolver(changing),
        secrets: secrets(),
        ..Services::default()
    });
    let grants =
        Grants { http: vec![http(&format!("http://named.example:{}/", server.port), false)], ..Grants::default() };
    let plugin = loaded(&house, grants, LimitSettings::default()).await;
    let url = format!("http://named.example:{}/", server.port);
    let first = act(&plugin, json!({"op": "http", "url": url, "timeout_ms": 300})).await;
    assert!(refusal(&first).1.contains("203.0.113.1"), "the first answer was checked: {first}");
    let second = act(&plugin, get(&url)).await;
    assert!(refusal(&second).1.contains("this machine"), "{second}");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "one look for each request");
    assert!(server.came().is_empty(), "nothing was ever sent");
}

#[tokio::test]
async fn a_credential_is_attached_where_it_may_go_and_stays_with_its_origin() {
    let (house, server) = (place(), Server::start().await);
    let http = vec![http(&server.url("/"), true), http(&format!("http://named.example:{}/", server.port), true)];
    let plugin = loaded(&house, Grants { http, ..grants_of_secrets() }, LimitSettings::default()).await;
    let with = |path: &str| json!({"op": "http", "url": server.url(path), "credential": "token"});
    let good = act(&plugin, with("/granted/x")).await;
    assert_eq!(good["ok"]["status"], 200, "{good}");
    assert_eq!(server.came()[0].headers["authorization"], "Bearer t0p-s3cret");
    let other = act(&plugin, with("/other")).await;
    assert!(refusal(&other).0 == "denied" && refusal(&other).1.contains("/other"), "{other}");
    let bad = act(&plugin, json!({"op": "http", "url": server.url("/granted/"), "credential": "webhook"})).await;
    assert_eq!(refusal(&bad).0, "denied", "a secret that is not asked for as a credential: {bad}");
    assert!(server.came().len() == 1, "neither was sent");
    // Following to another origin drops it.
    let away = act(&plugin, json!({"op": "http", "url": server.url("/moved-other-origin")})).await;
    assert_eq!(away["ok"]["body"], "at /granted/after", "{away}");
    assert!(server.came().last().is_some_and(|came| !came.headers.contains_key("authorization")));
    assert!(!format!("{good}{other}{bad}{away}").contains("t0p-s3cret"), "the plugin never sees the value");
}

#[tokio::test]
async fn sizes_times_and_numbers_of_requests_have_limits() {
    let (house, server) = (place(), Server::start().await);
    let grants = Grants { http: vec![http(&server.url("/"), true)], ..Grants::default() };
    let limits = LimitSettings {
        http_bytes_max: Some(1 << 20),
        http_requests_max: Some(3),
        http_per_minute_max: Some(5),
        ..LimitSettings::default()
    };
    let plugin = loaded(&house, grants, limits).await;
    let large = act(&plugin, get(&server.url("/large"))).await;
    assert!(refusal(&large).0 == "limit" && refusal(&large).1.contains("limits.http_bytes_max"), "{large}");
    let body =
        act(&plugin, json!({"op": "http", "method": "POST", "url": server.url("/"), "body_bytes": (1 << 20) + 1}))
            .await;
    assert!(body["refused"] == "limit" || body["ok"].is_null(), "{body}");
    let begun = std::time::Instant::now();
    let never = act(&plugin, json!({"op": "http", "url": server.url("/never"), "timeout_ms": 100})).await;
    assert!(refusal(&never).0 == "unreachable" && begun.elapsed().as_secs() < 5, "{never}");
    let many = json!({"op": "all", "acts": vec![get(&server.url("/")); 5]});
    let told = act(&plugin, many).await;
    let kinds: Vec<_> = told["ok"].as_array().expect("answers").iter().map(|one| one["refused"].as_str()).collect();
    assert_eq!(kinds[..3], [None, None, None], "{told}");
    assert!(kinds[3..].iter().all(|kind| *kind == Some("limit")), "{told}");
    let later = act(&plugin, get(&server.url("/"))).await;
    assert!(refusal(&later).1.contains("a minute"), "{later}");
}

#[tokio::test]
async fn a_subscription_narrows_what_its_plugin_may() {
    let (house, server) = (place(), Server::start().await);
    let plugin = loaded(
        &house,
        Grants { http: vec![http(&server.url("/"), true)], ..grants_of_secrets() },
        LimitSettings::default(),
    )
    .await;
    let narrowing = Narrowing { http: Some(vec![url(&server.url("/only/"))]), secrets: Some(vec![slug("webhook")]) };
    let narrowed =
        |act: Value| Subscription { narrowing: Arc::new(narrowing.clone()), ..subscription(json!({ "act": act })) };
    assert_eq!(act_as(&plugin, &narrowed(get(&server.url("/only/x")))).await["ok"]["status"], 200);
    let told = act_as(&plugin, &narrowed(get(&server.url("/other")))).await;
    assert!(refusal(&told).1.contains("its subscription narrows it"), "{told}");
    let equals = json!({"op": "equals", "secret": "token", "value": "t0p-s3cret"});
    assert_eq!(refusal(&act_as(&plugin, &narrowed(equals.clone())).await).0, "denied");
    assert_eq!(act(&plugin, equals).await["ok"], true, "another subscription keeps it");
}

#[tokio::test]
async fn secrets_are_used_as_granted_and_never_seen() {
    let house = place();
    let plugin = loaded(&house, grants_of_secrets(), LimitSettings::default()).await;
    // RFC 4231's way of computing, with keys of our own: HMAC-SHA-256 of "hello".
    let by = |key: &[u8]| {
        use hmac::{Hmac, KeyInit, Mac};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("a key");
        mac.update(b"hello");
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let verify = |signature: String| json!({"op": "verify", "secret": "webhook", "algorithm": "hmac-sha256", "message": "hello", "signature": signature});
    for (signature, right) in
        [(by(b"new-key"), true), (by(b"old-key"), true), (by(b"another"), false), (String::new(), false)]
    {
        assert_eq!(act(&plugin, verify(signature.clone())).await["ok"], right, "{signature}");
    }
    let sign = |secret: &str, algorithm: &str| json!({"op": "sign", "secret": secret, "algorithm": algorithm, "message": "hello"});
    assert_eq!(act(&plugin, sign("webhook", "hmac-sha256")).await["ok"], by(b"new-key"), "the newest signs");
    assert_eq!(act(&plugin, json!({"op": "reveal", "secret": "open"})).await["ok"], "in the open");
    for (asked, why) in [
        (json!({"op": "reveal", "secret": "token"}), "its manifest does not ask for this use"),
        (
            json!({"op": "verify", "secret": "webhook", "algorithm": "hmac-sha1", "message": "", "signature": ""}),
            "not granted",
        ),
        (sign("keys", "ed25519"), "not granted"),
        (json!({"op": "reveal", "secret": "another"}), "its manifest does not ask for it"),
        (sign("webhook", "md5"), "no algorithm"),
    ] {
        let told = act(&plugin, asked).await;
        assert!(refusal(&told).0 == "denied" && refusal(&told).1.contains(why), "{told}");
    }
    let missing = Grants { secrets: [(slug("open"), secret("nowhere", &["reveal"]))].into(), ..Grants::default() };
    let told =
        act(&loaded(&house, missing, LimitSettings::default()).await, json!({"op": "reveal", "secret": "open"})).await;
    assert!(refusal(&told).0 == "missing" && refusal(&told).1.contains("hostler secret set nowhere"), "{told}");
}

#[tokio::test]
async fn keys_sign_what_others_verify() {
    use aws_lc_rs::signature::{self, KeyPair, UnparsedPublicKey};
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
    };
    let ed25519 = signature::Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).expect("a key");
    let ed25519_pair = signature::Ed25519KeyPair::from_pkcs8(ed25519.as_ref()).expect("a key");
    let rsa = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
    let rsa_der = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&rsa).expect("DER");
    let stored = [pem("PRIVATE KEY", ed25519.as_ref()), pem("PRIVATE KEY", rsa_der.as_ref())];
    let read = stored.clone();
    let secrets = SecretReader::new(move |_, name: &Slug| {
        let value = if name.as_str() == "rsa" { &read[1] } else { &read[0] };
        Ok(vec![SecretBytes::new(value.clone())])
    });
    let house = house_with(Services { secrets, ..Services::default() });
    let with = |stored: &str| Grants {
        secrets: [(slug("keys"), secret(stored, &["sign:ed25519", "verify:ed25519", "sign:rsa-pkcs1-sha256"]))].into(),
        ..Grants::default()
    };
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    };
    let sign = |algorithm: &str| json!({"op": "sign", "secret": "keys", "algorithm": algorithm, "message": "hello"});
    let plugin = loaded(&house, with("ed"), LimitSettings::default()).await;
    let signed = act(&plugin, sign("ed25519")).await["ok"].as_str().expect("a signature").to_owned();
    let public = UnparsedPublicKey::new(&signature::ED25519, ed25519_pair.public_key().as_ref());
    public.verify(b"hello", &unhex(&signed)).expect("it verifies elsewhere");
    let verify =
        json!({"op": "verify", "secret": "keys", "algorithm": "ed25519", "message": "hello", "signature": signed});
    assert_eq!(act(&plugin, verify).await["ok"], true);
    let plugin = loaded(&house, with("rsa"), LimitSettings::default()).await;
    let signed = act(&plugin, sign("rsa-pkcs1-sha256")).await["ok"].as_str().expect("a signature").to_owned();
    let public = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, rsa.public_key().as_ref());
    public.verify(b"hello", &unhex(&signed)).expect("it verifies elsewhere");
    let wrong = act(&plugin, sign("ed25519")).await;
    assert!(refusal(&wrong).1.contains("not an Ed25519 key"), "{wrong}");
}

#[tokio::test]
async fn kv_needs_a_grant_and_what_is_not_asked_for_cannot_be_granted() {
    let house = place();
    let plugin = loaded(&house, Grants::default(), LimitSettings::default()).await;
    let told = act(&plugin, json!({"op": "kv-get", "scope": "plugin", "key": "a"})).await;
    assert!(refusal(&told).0 == "denied" && refusal(&told).1.contains("may not use kv"), "{told}");
    let grants = Grants { secrets: [(slug("more"), secret("x", &["reveal"]))].into(), ..Grants::default() };
    let source = hostler_plugin::PluginSource { grants, ..source("versatile", &versatile()) };
    let (_, errors) = hostler_plugin::Plugins::load(&house.runtime, vec![source]).await;
    assert!(errors[0].to_string().contains("the plugin asks for no such secret"), "{errors:?}");
}

#[tokio::test]
async fn a_plugin_that_breaks_again_and_again_is_called_no_more_until_it_is_let() {
    let house = support::house();
    let limits = LimitSettings { faults_max: Some(3), ..LimitSettings::default() };
    let source = hostler_plugin::PluginSource { limits, ..source("foe", &support::hostile()) };
    let all = plugins(&house, vec![source]).await;
    let mut quarantines = all.reports().expect("nobody asked before").quarantines;
    let foe = all.get("foe").expect("loaded");
    let call = |how: &'static str| {
        let foe = foe.clone();
        async move { foe.wake(&support::behaving(how), AT, KvReader::empty()).await }
    };
    for how in ["panic", "panic", "well", "panic", "failed", "panic", "panic", "panic"] {
        let _ = call(how).await;
    }
    let error = call("well").await.expect_err("it is quarantined");
    assert!(matches!(error.failure, Failure::Quarantined(_)) && error.is_temporary(), "{error}");
    let told = quarantines.recv().await.expect("it is told");
    assert_eq!((told.plugin.as_str(), told.digest.as_str()), ("foe", foe.digest()));
    assert!(told.reason.contains("3 calls in a row broke"), "{}", told.reason);
    assert_eq!(foe.counts().faults, 6);
    foe.release();
    call("well").await.expect("it works again");
}
