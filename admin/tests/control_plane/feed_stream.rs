//! The feed: what a gateway is told, from whatever it knows already.

use feed::{Frame, Record, SubjectKind};
use http_body_util::BodyExt as _;
use serde_json::json;

use crate::gateway::NONCE;
use crate::harness::{ORG, Plane, app};

#[tokio::test]
async fn a_gateway_that_knows_nothing_gets_a_snapshot_and_then_each_change() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await.subject;
    let mut feed = plane.feed("").await;
    let (revision, records) = feed.snapshot().await;
    assert_eq!(revision, plane.admin.revision());
    let mut subjects = 0;
    let mut tokens = Vec::new();
    for record in records {
        match record {
            Record::Subject(subject) => {
                assert_eq!((subject.kind, subject.org.as_str()), (SubjectKind::ServiceUser, ORG));
                assert_eq!(subject.roles.len(), 1);
                subjects += 1;
            }
            Record::Token(token) => tokens.push((token.subject, token.id)),
            Record::SubjectRemoved { .. }
            | Record::TokenRemoved { .. }
            | Record::Policy(_)
            | Record::PolicyRemoved { .. }
            | Record::Guard(_)
            | Record::GuardRemoved { .. } => panic!("neither was anything removed nor any policy published"),
        }
    }
    assert_eq!(subjects, 2);
    let expected = [
        (plane.root.subject.clone(), "bootstrap".to_owned()),
        (robot.clone(), "main".to_owned()),
    ];
    assert_eq!(tokens, expected);

    let role = json!({"id": robot, "role": "developer"});
    let made = plane
        .send(&plane.root, "POST", &format!("/orgs/{ORG}/apps/web/users"), role)
        .await;
    let Frame::Change { revision, records } = feed.news().await else {
        panic!("no change");
    };
    assert_eq!(revision, made.revision());
    let [Record::Subject(subject)] = &records[..] else {
        panic!("{records:?}");
    };
    let held: Vec<_> = subject
        .roles
        .iter()
        .map(|held| (held.scope.to_string(), held.role.as_str()))
        .collect();
    assert_eq!(
        held,
        [
            ("/orgs/my-org".to_owned(), "member"),
            (app("web").to_string(), "developer")
        ]
    );
}

#[tokio::test]
async fn whoever_takes_zstandard_is_told_the_same_in_it_and_can_read_each_part_at_once() {
    let plane = Plane::start().await;
    for _ in 0..20 {
        plane.service_user("member").await;
    }
    let credential = format!("Bearer {}", plane.credential);
    let mut octets = Vec::new();
    for coding in ["identity", "zstd"] {
        let fields = [("authorization", credential.as_str()), ("accept-encoding", coding)];
        let response = plane
            .open("GET", &format!("/feed?nonce={NONCE}"), String::new(), &fields)
            .await;
        let told = response.headers().get("content-encoding").map(|value| value.as_bytes());
        assert_eq!(told, (coding == "zstd").then_some(&b"zstd"[..]));
        assert_eq!(response.headers()["vary"], "accept-encoding");
        let (mut body, mut sent, mut lines) = (response.into_body(), 0, String::new());
        let mut unread = Vec::new();
        while !lines.contains("snapshot-end") {
            let frame = body.frame().await.expect("it goes on").expect("it arrives");
            let data = frame.into_data().expect("data");
            sent += data.len();
            unread.extend_from_slice(&data);
            // A head of a stored frame may come alone; its octets are next.
            let read = match coding {
                "zstd" => zstd::stream::decode_all(&unread[..]).ok(),
                _ => Some(unread.clone()),
            };
            if let Some(read) = read {
                unread.clear();
                lines.push_str(std::str::from_utf8(&read).expect("text"));
            }
        }
        let records: Vec<String> = lines
            .lines()
            .filter(|line| line.contains("\"record\""))
            .map(str::to_owned)
            .collect();
        octets.push((sent, records));
    }
    let [(plain, records), (compressed, same)] = &octets[..] else {
        panic!("two were read");
    };
    assert_eq!((records.len(), records), (42, same));
    assert!(compressed * 2 < *plain, "{compressed} of {plain} octets");
}

#[tokio::test]
async fn a_gateway_goes_on_from_a_revision_that_the_store_remembers() {
    let plane = Plane::start().await;
    let robot = plane.service_user("member").await.subject;
    let store = plane.admin.store_name();
    let newest = plane.admin.revision();
    let mut feed = plane.feed(&format!("?after=1&store={store}")).await;
    for expected in 2..=newest {
        let Frame::Change { revision, .. } = feed.news().await else {
            panic!("no change");
        };
        assert_eq!(revision, expected);
    }
    let mut feed = plane.feed(&format!("?after={newest}&store={store}")).await;
    let opening = feed.next().await.expect("a frame");
    let unix_ms = plane.clock.unix_ms();
    let nonce = NONCE.to_owned();
    assert_eq!(
        opening,
        Frame::Opening {
            store,
            revision: newest,
            unix_ms,
            resumes: true,
            nonce
        }
    );
    assert_eq!(
        feed.next().await.expect("a frame"),
        Frame::Heartbeat {
            revision: newest,
            unix_ms
        }
    );
    let path = format!("/users/{robot}/tokens/main");
    assert_eq!(plane.ask(&plane.root, "DELETE", &path).await.status, 204);
    let Frame::Change { revision, records } = feed.news().await else {
        panic!("no change");
    };
    assert_eq!(revision, newest + 1);
    assert!(matches!(records[..], [Record::TokenRemoved { .. }]));
}

#[tokio::test]
async fn a_gateway_whose_revision_means_nothing_here_gets_a_snapshot() {
    let plane = Plane::start().await;
    plane.service_user("member").await;
    let store = plane.admin.store_name();
    let newer = plane.admin.revision() + 1;
    let queries = [
        "?after=1".to_owned(),
        format!("?store={store}"),
        "?after=1&store=another".to_owned(),
        format!("?after={newer}&store={store}"),
        format!("?after={}&store={store}", u64::MAX),
    ];
    for query in queries {
        let mut feed = plane.feed(&query).await;
        let begin = feed.news().await;
        let revision = newer - 1;
        assert_eq!(
            begin,
            Frame::SnapshotBegin {
                store: store.clone(),
                revision
            },
            "{query}"
        );
    }
    plane
        .sql("DELETE FROM changes WHERE revision < 3")
        .await
        .expect("they are pruned");
    let mut feed = plane.feed(&format!("?after=2&store={store}")).await;
    assert!(matches!(feed.news().await, Frame::Change { revision: 3, .. }));
    let mut feed = plane.feed(&format!("?after=1&store={store}")).await;
    assert!(
        matches!(feed.news().await, Frame::SnapshotBegin { .. }),
        "revision 2 is forgotten"
    );
    let malformed = plane.request("GET", "/feed?after=x", String::new(), &[]).await;
    malformed.assert_refused(400, "invalid-field");
    for nonce in ["a.b".to_owned(), "x".repeat(65)] {
        let path = format!("/feed?nonce={nonce}");
        let malformed = plane.request("GET", &path, String::new(), &[]).await;
        malformed.assert_refused(400, "invalid-field");
    }
}

#[tokio::test]
async fn a_quiet_feed_tells_the_revision_and_the_time_again_and_again() {
    let plane = Plane::start().await;
    let mut feed = plane.feed("").await;
    feed.snapshot().await;
    for _ in 0..2 {
        let revision = plane.admin.revision();
        let unix_ms = plane.clock.unix_ms();
        assert_eq!(feed.next().await, Some(Frame::Heartbeat { revision, unix_ms }));
        plane.clock.advance_ms(1000);
    }
}

#[tokio::test]
async fn a_change_is_told_at_once_and_not_with_the_next_heartbeat() {
    let plane = Plane::start().await;
    let mut feed = plane.feed("").await;
    feed.snapshot().await;
    // A heartbeat may come in between by chance, but not each time.
    for _ in 0..5 {
        while !matches!(feed.next().await, Some(Frame::Heartbeat { .. })) {}
        plane.service_user("member").await;
        if matches!(feed.next().await, Some(Frame::Change { .. })) {
            return;
        }
    }
    panic!("each change came after a heartbeat");
}

#[tokio::test]
async fn a_snapshot_of_many_records_holds_each_once() {
    let plane = Plane::start().await;
    plane
        .sql(&format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)
             INSERT INTO subjects (id, org, kind, name, created_ms, created_by)
             SELECT 's-' || substr(CAST(100000000 + i AS TEXT), 2) || '-0000-4000-8000-000000000000', 'my-org', 'service-user', 'robot', 0, 'x' FROM n;
             INSERT INTO tokens
                 (number, subject, org, id, digest, description, expires_at, expires_ms, created_ms, created_by)
             SELECT CAST(substr(id, 3, 8) AS INTEGER) + 1000, id, org, '\"quoted\" ü', {}, '', '2030-01-01T00:00:00Z', 1893456000000, 0, 'x'
             FROM subjects WHERE created_by = 'x'",
            Plane::random_octets()
        ))
        .await
        .expect("they are inserted");
    let (_, records) = plane.feed("").await.snapshot().await;
    let mut subjects = std::collections::BTreeSet::new();
    let mut tokens = std::collections::BTreeSet::new();
    for record in records {
        match record {
            Record::Subject(subject) => assert!(subjects.insert(subject.id)),
            Record::Token(token) => {
                assert!(subjects.contains(&token.subject), "a token before its subject");
                if token.id != "bootstrap" {
                    assert_eq!(
                        (token.id.as_str(), token.expires_ms),
                        ("\"quoted\" ü", Some(1_893_456_000_000))
                    );
                }
                assert!(tokens.insert(token.digest));
            }
            Record::SubjectRemoved { .. }
            | Record::TokenRemoved { .. }
            | Record::Policy(_)
            | Record::PolicyRemoved { .. }
            | Record::Guard(_)
            | Record::GuardRemoved { .. } => panic!("neither was anything removed nor any policy published"),
        }
    }
    assert_eq!((subjects.len(), tokens.len()), (2501, 2501));
}

#[tokio::test]
async fn a_feed_ends_when_the_control_plane_closes() {
    let plane = Plane::start().await;
    let mut feed = plane.feed("").await;
    feed.snapshot().await;
    assert_eq!(plane.admin.open_feeds(), 1);
    let stopping = plane.stop();
    let (directory, ()) = tokio::join!(stopping, async { while feed.next().await.is_some() {} });
    drop(directory);
}
