//! The rules of codes and tokens, on a SQLite file; the same statements run on the servers in the black-box suite.

use super::super::tests::store;
use super::*;
use std::thread;

const LIFETIME: Duration = Duration::from_secs(3600);
/// RFC 7636 appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "https://okta.example.com/cb";

struct Fresh {
    store: GrantStore,
    _folder: tempfile::TempDir,
}

fn fresh() -> Fresh {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder.path().join("own.db"));
    store.database.with(&mut |connection| store.own.apply(connection)).unwrap();
    Fresh { store, _folder: folder }
}

fn consent(form: &str) -> Consent<'_> {
    Consent {
        server: "okta",
        client: "okta",
        subject: "ada",
        scope: Scope::Everything,
        redirect_uri: Some(CALLBACK),
        challenge: Some(CHALLENGE),
        form: (form, chrono::Utc::now().timestamp() + 600),
    }
}

impl Fresh {
    fn code(&self, form: &str) -> String {
        self.store.agree(&consent(form)).unwrap().0
    }

    fn exchange(&self, change: impl Fn(&mut Exchange<'_>), code: &str) -> Result<Issued, String> {
        let mut exchange = Exchange {
            server: "okta",
            client: "okta",
            code,
            redirect_uri: Some(CALLBACK),
            only_redirect_uri: None,
            verifier: Some(VERIFIER),
            lifetime: LIFETIME,
        };
        change(&mut exchange);
        told(self.store.exchange(&exchange))
    }

    fn refresh(&self, token: &str) -> Result<Issued, String> {
        told(self.store.refresh("okta", "okta", token, None, LIFETIME))
    }

    fn lives(&self, issued: &Issued) -> bool {
        self.store.access(&fingerprint(&issued.access)).unwrap().is_some()
    }

    fn rows(&self) -> (usize, usize) {
        let mut counts = Vec::new();
        self.store
            .database
            .with(&mut |connection| {
                for table in [crate::own::OwnTable::OauthGrants, crate::own::OwnTable::OauthTokens] {
                    let all = crate::sql::Select::new(
                        self.store.own.table(table),
                        crate::sql::Alias(0),
                        vec![crate::sql::Expr::CountAll],
                    );
                    let rows = connection.query(&crate::sql::Statement::Select(all), &[])?;
                    counts.push(usize::try_from(rows[0].0[0].as_int().unwrap()).unwrap());
                }
                Ok(())
            })
            .unwrap();
        (counts[0], counts[1])
    }

    fn sql(&self, sql: &str) {
        self.store.database.with(&mut |connection| connection.batch(sql)).unwrap();
    }
}

fn told<T>(result: Result<T, Trouble>) -> Result<T, String> {
    result.map_err(|trouble| match trouble {
        Trouble::Refused(refusal) => format!("{}: {}", refusal.code.word(), refusal.description),
        Trouble::Database(error) => panic!("{error}"),
    })
}

#[track_caller]
fn refused<T>(result: Result<T, String>, why: &str) {
    let refusal = result.err().expect("a refusal");
    assert!(refusal.contains(why), "{refusal}");
}

#[test]
fn from_a_code_to_many_tokens() {
    let fresh = fresh();
    let first = fresh.exchange(|_| {}, &fresh.code("f")).unwrap();
    assert!(fresh.lives(&first) && first.expires_in == 3600 && first.scope == Scope::Everything);
    let second = fresh.refresh(first.refresh.as_deref().unwrap()).unwrap();
    assert!(fresh.lives(&first) && fresh.lives(&second), "an access token lives as long as it said");
    let narrow =
        told(fresh.store.refresh("okta", "okta", second.refresh.as_deref().unwrap(), Some("scim:read"), LIFETIME));
    let narrow = narrow.unwrap();
    assert_eq!(narrow.scope, Scope::Read);
    // The grant stays as wide as it was (RFC 6749 6).
    assert_eq!(fresh.refresh(narrow.refresh.as_deref().unwrap()).unwrap().scope, Scope::Everything);
    let grants = fresh.store.list(Some("okta")).unwrap();
    assert_eq!(
        grants.iter().map(|grant| (grant.client.as_str(), grant.subject.as_str())).collect::<Vec<_>>(),
        [("okta", "ada")]
    );
    assert!(fresh.store.list(Some("entra")).unwrap().is_empty());
    // Access is no refresh, and refresh no access.
    refused(fresh.refresh(&second.access), "not known");
    assert!(fresh.store.access(&fingerprint(second.refresh.as_deref().unwrap())).unwrap().is_none());
}

#[test]
fn a_code_is_good_once_and_for_whom_it_was_made() {
    let fresh = fresh();
    let code = fresh.code("1");
    let issued = fresh.exchange(|_| {}, &code).unwrap();
    refused(fresh.exchange(|_| {}, &code), "used before");
    assert!(!fresh.lives(&issued), "what came of it has ended");
    refused(fresh.refresh(issued.refresh.as_deref().unwrap()), "not known");
    assert_eq!(fresh.rows(), (0, 1), "only the form is remembered");

    type Change = fn(&mut Exchange<'_>);
    let changes: [(&str, Change, &str); 7] = [
        ("2", |exchange| exchange.client = "other", "another client"),
        ("3", |exchange| exchange.redirect_uri = Some("https://okta.example.com/cb2"), "redirect_uri"),
        ("4", |exchange| exchange.redirect_uri = None, "redirect_uri"),
        ("5", |exchange| exchange.verifier = None, "code_verifier"),
        ("6", |exchange| exchange.verifier = Some(CHALLENGE), "code_verifier"),
        ("7", |exchange| exchange.verifier = Some(""), "code_verifier"),
        ("8", |exchange| exchange.server = "entra", "not known"),
    ];
    for (form, change, why) in changes {
        let code = fresh.code(form);
        refused(fresh.exchange(change, &code), why);
        if form != "8" {
            refused(fresh.exchange(|_| {}, &code), "not known");
        }
    }
    let code = fresh.code("9");
    fresh.sql("UPDATE scimshim_oauth_tokens SET expires_at = 1 WHERE kind = 'code'");
    refused(fresh.exchange(|_| {}, &code), "expired");
    for none in ["", "x", &Kind::Code.make().unwrap(), &Kind::Refresh.make().unwrap()] {
        refused(fresh.exchange(|_| {}, none), "not known");
    }
}

#[test]
fn a_redirect_uri_that_the_request_left_out() {
    let fresh = fresh();
    let code = |form| {
        let bare = Consent { scope: Scope::Read, redirect_uri: None, challenge: None, ..consent(form) };
        fresh.store.agree(&bare).unwrap().0
    };
    let plain = |exchange: &mut Exchange<'_>| (exchange.redirect_uri, exchange.verifier) = (None, None);
    assert_eq!(fresh.exchange(plain, &code("1")).unwrap().scope, Scope::Read);
    let said = |exchange: &mut Exchange<'_>| {
        (exchange.redirect_uri, exchange.only_redirect_uri, exchange.verifier) = (Some(CALLBACK), Some(CALLBACK), None);
    };
    fresh.exchange(said, &code("2")).unwrap();
    refused(fresh.exchange(|exchange| exchange.verifier = None, &code("3")), "redirect_uri");
    // A verifier where there was no challenge: somebody took the challenge away.
    refused(fresh.exchange(|exchange| exchange.redirect_uri = None, &code("4")), "code_verifier");
}

#[test]
fn a_refresh_token_is_good_once() {
    let fresh = fresh();
    let first = fresh.exchange(|_| {}, &fresh.code("1")).unwrap();
    let old = first.refresh.clone().unwrap();
    let second = fresh.refresh(&old).unwrap();
    refused(fresh.refresh(&old), "used before");
    assert!(!fresh.lives(&first) && !fresh.lives(&second));
    refused(fresh.refresh(second.refresh.as_deref().unwrap()), "not known");

    let other = fresh.exchange(|_| {}, &fresh.code("2")).unwrap();
    let token = other.refresh.clone().unwrap();
    refused(told(fresh.store.refresh("okta", "thief", &token, None, LIFETIME)), "another client");
    refused(fresh.refresh(&token), "not known");

    let third = fresh.exchange(|_| {}, &fresh.code("3")).unwrap();
    let token = third.refresh.clone().unwrap();
    refused(told(fresh.store.refresh("okta", "okta", &token, Some("admin"), LIFETIME)), "invalid_scope");
    fresh.refresh(&token).expect("a wrong scope costs nothing");

    fresh.sql("UPDATE scimshim_oauth_tokens SET expires_at = 1 WHERE kind = 'refresh' AND used_at IS NULL");
    let last = fresh.exchange(|_| {}, &fresh.code("4")).unwrap();
    fresh.sql("UPDATE scimshim_oauth_tokens SET expires_at = 1 WHERE kind = 'refresh'");
    refused(fresh.refresh(last.refresh.as_deref().unwrap()), "has ended");
}

/// Of many uses at once exactly one succeeds, and what it gave has ended when the others are through.
#[test]
fn of_many_at_once_one_wins() {
    let fresh = fresh();
    for round in 0..5 {
        let code = fresh.code(&format!("code {round}"));
        let results: Vec<_> = thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| fresh.exchange(|_| {}, &code))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let won: Vec<&Issued> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(won.len(), 1);
        assert!(!fresh.lives(won[0]));

        let token = fresh.exchange(|_| {}, &fresh.code(&format!("refresh {round}"))).unwrap().refresh.unwrap();
        let results: Vec<_> = thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| fresh.refresh(&token))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let won: Vec<&Issued> = results.iter().filter_map(|result| result.as_ref().ok()).collect();
        assert_eq!(won.len(), 1);
        assert!(!fresh.lives(won[0]));
    }
}

#[test]
fn a_form_is_good_once() {
    let fresh = fresh();
    fresh.code("form");
    let again = Consent { scope: Scope::Read, redirect_uri: None, challenge: None, ..consent("form") };
    refused(told(fresh.store.agree(&again)), "sent already");
    assert_eq!(fresh.rows(), (1, 2), "nothing of the second");
    assert!(fresh.store.spend("jti", 1).unwrap() && !fresh.store.spend("jti", 1).unwrap());
    assert!(!fresh.store.spend("form", 1).unwrap(), "one memory for all");
}

#[test]
fn revoked_by_the_client() {
    let fresh = fresh();
    let issued = fresh.exchange(|_| {}, &fresh.code("1")).unwrap();
    let refresh = issued.refresh.clone().unwrap();
    refused(told(fresh.store.revoke("okta", "thief", &refresh)), "another client");
    told(fresh.store.revoke("entra", "okta", &refresh)).unwrap();
    assert!(fresh.lives(&issued));
    told(fresh.store.revoke("okta", "okta", &issued.access)).unwrap();
    assert!(!fresh.lives(&issued));
    let more = fresh.refresh(&refresh).unwrap();
    told(fresh.store.revoke("okta", "okta", more.refresh.as_deref().unwrap())).unwrap();
    assert!(!fresh.lives(&more));
    for none in ["", "x", &refresh, &Kind::Access.make().unwrap()] {
        told(fresh.store.revoke("okta", "okta", none)).unwrap();
    }
    assert_eq!(fresh.rows().0, 0);
}

#[test]
fn a_client_for_itself_has_so_many_tokens() {
    let fresh = fresh();
    let issue = |client: &str| fresh.store.issue("entra", client, Scope::Everything, LIFETIME).unwrap();
    let first = issue("entra");
    assert!(first.refresh.is_none() && fresh.lives(&first));
    let other = issue("other");
    for _ in 0..ACCESS_TOKENS {
        issue("entra");
    }
    assert!(!fresh.lives(&first), "the oldest ended");
    assert!(fresh.lives(&other), "another client's did not");
    assert_eq!(fresh.rows(), (2, usize::try_from(ACCESS_TOKENS).unwrap() + 1));
    let read = fresh.store.issue("entra", "entra", Scope::Read, LIFETIME).unwrap();
    assert_ne!(read.grant, first.grant);
    let ids: Vec<String> = fresh.store.list(Some("entra")).unwrap().into_iter().map(|grant| grant.id).collect();
    assert_eq!(ids.len(), 3);
    assert!(fresh.store.end("entra", &first.grant).unwrap() && !fresh.store.end("entra", &first.grant).unwrap());
    assert!(!fresh.store.end("okta", &read.grant).unwrap(), "of another identity server");
    assert_eq!(fresh.store.end_all("entra").unwrap(), 2);
    assert_eq!(fresh.rows(), (0, 0));
    // A grant that was ended comes again when the client does.
    assert!(fresh.lives(&issue("entra")));
}

#[test]
fn what_is_over_is_forgotten() {
    let fresh = fresh();
    let gone = fresh.exchange(|_| {}, &fresh.code("1")).unwrap();
    fresh.sql("UPDATE scimshim_oauth_tokens SET expires_at = 1; UPDATE scimshim_oauth_grants SET expires_at = 1");
    fresh.store.tidied.store(0, Relaxed);
    let kept = fresh.store.issue("okta", "machine", Scope::Read, LIFETIME).unwrap();
    assert!(!fresh.lives(&gone) && fresh.lives(&kept));
    assert_eq!(fresh.rows(), (1, 1));
}
