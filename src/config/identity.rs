//! The identity servers: who may speak, as whom, and what it may do: `identity_servers`.

use ipnet::IpNet;

use super::authentication::{self, Around, Authentication, Confined};
use super::certificate::{self, ClientCertificate};
use super::door::Door;
use super::{Context, SaveRequests, values};
use crate::document::{Findings, Key, Node, Place, Reader};

/// One configured client of the service.
#[derive(Clone, Debug)]
pub struct IdentityServer {
    /// `[a-z0-9-]+`, not `v2`; stands in its URL.
    pub name: String,
    /// Where the configuration names it.
    pub place: Place,
    /// Whether it answers under `/scim/v2` too.
    pub default: bool,
    /// Whether it may speak at all.
    pub active: bool,
    /// The preset its switches came from.
    pub profile: Profile,
    /// How it is answered where clients differ.
    pub switches: Switches,
    /// The application's user in whose name it changes things; text, resolved against the application.
    pub acting_user: Option<Node>,
    /// The networks it may call from; empty allows all.
    pub allow_from: Vec<IpNet>,
    /// The certificate it must present besides.
    pub client_certificate: Option<ClientCertificate>,
    /// How it proves who it is.
    pub authentication: Authentication,
    /// What it may do with each resource type; None is everything, a type not named is nothing.
    pub may: Option<Vec<(Key, Vec<Action>)>>,
    /// The rows it may see and touch, a mapping of predicates by resource type; None is everything.
    pub scope: Option<Node>,
    /// Whether the discovery documents are shown to who does not authenticate (RFC 7644 4).
    pub discovery_without_authentication: bool,
    /// What of a bulk request is one transaction.
    pub bulk_transaction: BulkTransaction,
    /// What the journal keeps of its requests.
    pub save_requests: SaveRequests,
    /// What it may do within an hour.
    pub brake: Brake,
    /// Its writes are tried and rolled back.
    pub dry_run: bool,
    /// Its own values for the adapter's parameters, a mapping.
    pub parameters: Option<Node>,
}

impl IdentityServer {
    /// Whether it may do something with a resource type.
    pub fn may(&self, resource: &str, action: Action) -> bool {
        self.may
            .as_ref()
            .is_none_or(|may| may.iter().any(|(key, actions)| key.text == resource && actions.contains(&action)))
    }

    /// The acting user's name in the application.
    pub fn acting_user_name(&self) -> Option<&str> {
        self.acting_user.as_ref().and_then(Node::as_str)
    }
}

/// What an identity server may do within an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brake {
    /// Resources that it may deactivate or delete; `None`: as many as it likes.
    pub deactivations_per_hour: Option<u64>,
}

/// A preset of switches, named after the client it suits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of products")]
pub enum Profile {
    Standard,
    Entra,
    Okta,
    Onelogin,
    Jumpcloud,
    Authentik,
    Keycloak,
    Ping,
    Google,
}

impl Profile {
    /// All of them, with the names they have in the configuration.
    pub const ALL: [(&'static str, Profile); 9] = [
        ("standard", Profile::Standard),
        ("entra", Profile::Entra),
        ("okta", Profile::Okta),
        ("onelogin", Profile::Onelogin),
        ("jumpcloud", Profile::Jumpcloud),
        ("authentik", Profile::Authentik),
        ("keycloak", Profile::Keycloak),
        ("ping", Profile::Ping),
        ("google", Profile::Google),
    ];

    /// Its switches.
    pub fn switches(self) -> Switches {
        Switches {
            patch_answers: match self {
                Profile::Standard => PatchAnswers::Resource,
                // These clients look at the status alone, and change groups one member at a time.
                _ => PatchAnswers::Auto,
            },
            put: match self {
                // It writes back what it read and knows, and no more.
                Profile::Okta => Put::KeepUnmentioned,
                _ => Put::Replace,
            },
            no_target: NoTarget::Make,
            adopt: Adopt::Refuse,
        }
    }
}

impl Switches {
    /// Each with its value, as the configuration writes them.
    pub fn words(&self) -> [(&'static str, &'static str); 4] {
        [
            ("patch_answers", word(&PatchAnswers::ALL, self.patch_answers)),
            ("put", word(&Put::ALL, self.put)),
            ("no_target", word(&NoTarget::ALL, self.no_target)),
            ("adopt", word(&Adopt::ALL, self.adopt)),
        ]
    }
}

fn word<T: PartialEq>(all: &[(&'static str, T)], value: T) -> &'static str {
    all.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

/// How an identity server is answered where clients differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switches {
    /// What a successful PATCH is answered with.
    pub patch_answers: PatchAnswers,
    /// What PUT does with attributes that are left out.
    pub put: Put,
    /// What a PATCH does that replaces values which its filter does not find.
    pub no_target: NoTarget,
    /// What POST does with a row that exists but was never provisioned.
    pub adopt: Adopt,
}

/// The answer to a successful PATCH (RFC 7644 3.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchAnswers {
    /// 200 and the resource; 204 where it has members, because the answer would have to carry all of them.
    Auto,
    /// 200 and the resource, whole, also where it has a hundred thousand members.
    Resource,
    /// 204 and nothing.
    NoContent,
}

/// What PUT does with attributes that are left out (RFC 7644 3.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// They are cleared.
    Replace,
    /// They are left as they are; null, `""` and `[]` clear.
    KeepUnmentioned,
}

/// What a PATCH does that replaces values which its filter does not find, such as `emails[type eq "work"].value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTarget {
    /// It makes the value that the filter describes, as several clients count on.
    Make,
    /// 400 noTarget (RFC 7644 3.5.2.3).
    Refuse,
}

/// What of a bulk request is one transaction (RFC 7644 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkTransaction {
    /// Each operation.
    Operation,
    /// All of them: one failure undoes them all.
    Request,
}

/// What POST does with a row that exists but was never provisioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adopt {
    /// 409, with its `Location`.
    Refuse,
    /// 201 with the row, where the identity server may see it and none ever wrote it.
    Link,
}

impl PatchAnswers {
    /// All of them, as the configuration calls them.
    pub const ALL: [(&'static str, Self); 3] =
        [("auto", Self::Auto), ("200", Self::Resource), ("204", Self::NoContent)];
}

impl Put {
    /// All of them, as the configuration calls them.
    pub const ALL: [(&'static str, Self); 2] =
        [("replace", Self::Replace), ("keep_unmentioned", Self::KeepUnmentioned)];
}

impl NoTarget {
    /// All of them, as the configuration calls them.
    pub const ALL: [(&'static str, Self); 2] = [("make", Self::Make), ("refuse", Self::Refuse)];
}

impl Adopt {
    /// All of them, as the configuration calls them.
    pub const ALL: [(&'static str, Self); 2] = [("refuse", Self::Refuse), ("link", Self::Link)];
}

/// What may be done with a resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// POST.
    Create,
    /// GET and lists.
    Read,
    /// PUT and PATCH.
    Update,
    /// Setting `active` to false; DELETE too where `delete` is not allowed.
    Deactivate,
    /// DELETE.
    Delete,
}

impl Action {
    /// All of them, with the words of the configuration.
    pub const ALL: [(&'static str, Action); 5] = [
        ("create", Action::Create),
        ("read", Action::Read),
        ("update", Action::Update),
        ("deactivate", Action::Deactivate),
        ("delete", Action::Delete),
    ];
}

/// `door` is None where it is too wrong to be known.
pub(super) fn read(
    reader: &mut Reader<'_>,
    context: Context<'_>,
    door: Option<&Door>,
    findings: &mut Findings,
) -> Option<Vec<IdentityServer>> {
    let node = reader.required("identity_servers", findings)?;
    let entries = node.read_entries(findings)?;
    if entries.is_empty() {
        findings.error(node, "there is no identity server").help("identity_servers: { entra: { profile: entra } }");
        return None;
    }
    let mut servers: Vec<_> =
        entries.iter().filter_map(|(key, node)| server(key, node, context, door, findings)).collect();
    one_default(node, entries, &mut servers, findings);
    Some(servers)
}

/// Exactly one is the default; a single one is it unless it says no.
fn one_default(node: &Node, entries: &[(Key, Node)], servers: &mut [IdentityServer], findings: &mut Findings) {
    let said = |node: &Node| node.get("default").and_then(Node::as_bool);
    if let [(_, only)] = entries
        && said(only).is_none()
    {
        servers.iter_mut().for_each(|server| server.default = true);
        return;
    }
    let marked: Vec<&(Key, Node)> = entries.iter().filter(|(_, node)| said(node) == Some(true)).collect();
    match marked.as_slice() {
        [] => {
            let names = entries.iter().map(|(key, _)| key.text.as_str()).collect::<Vec<_>>().join(", ");
            findings
                .error(node, "no identity server is the default")
                .help(format!("write `default: true` under one of: {names}"));
        }
        [(first, _), others @ ..] => {
            for (_, other) in others {
                let at = other.get("default").unwrap_or(other);
                findings.error(at, "a second default identity server").help(format!("`{}` is it already", first.text));
            }
        }
    }
}

fn server(
    key: &Key,
    node: &Node,
    context: Context<'_>,
    door: Option<&Door>,
    findings: &mut Findings,
) -> Option<IdentityServer> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !key.text.bytes().all(plain) || key.text.is_empty() || key.text.len() > 64 || key.text == "v2" {
        let finding = findings.error(key, format!("`{}` cannot name an identity server", key.text));
        finding.help("lower-case letters, digits and `-`, at most 64, and not `v2`: the name stands in its URL");
    }
    let nothing = Node::new(crate::document::Data::Mapping(Vec::new()), key.place.clone());
    // `okta:` with nothing below is an identity server with every default.
    let node = if node.is_null() { &nothing } else { node };
    let mut reader = Reader::mapping(node, findings)?;
    let default = reader.boolean("default", findings).unwrap_or(false);
    let active = reader.boolean("active", findings).unwrap_or(true);
    let profile = reader.word("profile", &Profile::ALL, findings).unwrap_or(Profile::Standard);
    let switches = switches(&mut reader, profile, findings);
    let acting_user = reader.given("acting_user").filter(|node| node.read_str(findings).is_some()).cloned();
    if let Some(node) = acting_user.as_ref().filter(|node| node.as_str() == Some("")) {
        findings.error(node, "the acting user has no name");
    }
    let allow_from = values::networks(&mut reader, "allow_from", findings);
    if let Some(node) = reader.given("allow_from").filter(|node| node.one_or_many().is_empty()) {
        findings.error(node, "an empty list would allow nobody").help("leave `allow_from` out to allow every address");
    }
    let client_certificate = reader.given("client_certificate").map(|node| certificate::read(node, door, findings));
    let confined = if reader.given("client_certificate").is_some() {
        Some(Some(Confined::Certificate))
    } else if reader.given("allow_from").is_some() {
        Some(Some(Confined::AllowFrom))
    } else {
        door.map(|door| door.is_local().then_some(Confined::Loopback))
    };
    let authentication = authentication::read(&mut reader, Around { context, profile, confined }, findings);
    let may = may(&mut reader, findings);
    let mapping = |node: &&Node, findings: &mut Findings| node.read_entries(findings).is_some();
    let scope = reader.given("scope").filter(|node| mapping(node, findings)).cloned();
    let parameters = reader.given("parameters").filter(|node| mapping(node, findings)).cloned();
    let open = reader.boolean("discovery_without_authentication", findings).unwrap_or(false);
    let transactions = [("operation", BulkTransaction::Operation), ("request", BulkTransaction::Request)];
    let bulk_transaction =
        reader.word("bulk_transaction", &transactions, findings).unwrap_or(BulkTransaction::Operation);
    let save_requests = reader.word("save_requests", &SaveRequests::ALL, findings).unwrap_or(SaveRequests::None);
    let brake = brake(&mut reader, findings);
    let dry_run = reader.boolean("dry_run", findings).unwrap_or(false);
    if let Some(node) = reader.given("dry_run").filter(|_| dry_run) {
        findings.warning(node, "nothing is kept of what this identity server writes: it is tried and rolled back");
    }
    reader.finish(findings);
    Some(IdentityServer {
        name: key.text.clone(),
        place: key.place.clone(),
        default,
        active,
        profile,
        switches,
        acting_user,
        allow_from,
        client_certificate: client_certificate.map_or(Some(None), |certificate| certificate.map(Some))?,
        authentication: authentication?,
        may,
        scope,
        discovery_without_authentication: open,
        bulk_transaction,
        save_requests,
        brake,
        dry_run,
        parameters,
    })
}

fn switches(reader: &mut Reader<'_>, profile: Profile, findings: &mut Findings) -> Switches {
    let mut switches = profile.switches();
    let Some(mut reader) = reader.given("switches").and_then(|node| Reader::mapping(node, findings)) else {
        return switches;
    };
    let Switches { patch_answers, put, no_target, adopt } = &mut switches;
    *patch_answers = reader.word("patch_answers", &PatchAnswers::ALL, findings).unwrap_or(*patch_answers);
    *put = reader.word("put", &Put::ALL, findings).unwrap_or(*put);
    *no_target = reader.word("no_target", &NoTarget::ALL, findings).unwrap_or(*no_target);
    *adopt = reader.word("adopt", &Adopt::ALL, findings).unwrap_or(*adopt);
    reader.finish(findings);
    switches
}

fn brake(reader: &mut Reader<'_>, findings: &mut Findings) -> Brake {
    const KEY: &str = "deactivations_per_hour";
    let Some(mut reader) = reader.given("brake").and_then(|node| Reader::mapping(node, findings)) else {
        return Brake::default();
    };
    let most = reader.required(KEY, findings).map(|_| values::count(&mut reader, KEY, 1, 1..=1_000_000, findings));
    reader.finish(findings);
    Brake { deactivations_per_hour: most.and_then(|most| u64::try_from(most).ok()) }
}

fn may(reader: &mut Reader<'_>, findings: &mut Findings) -> Option<Vec<(Key, Vec<Action>)>> {
    let entries = reader.given("may")?.read_entries(findings)?;
    let actions = |node: &Node, findings: &mut Findings| {
        let words = node.one_or_many().iter();
        words.filter_map(|word| word.read_word(&Action::ALL, findings)).collect()
    };
    Some(entries.iter().map(|(key, node)| (key.clone(), actions(node, findings))).collect())
}
