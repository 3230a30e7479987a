//! The page in a real Chromium without JavaScript, by desktop and by phone: signed in, agreed to and refused as a person does it,
//! with what assistive technology is told, and nothing that its Content-Security-Policy had to stop.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::setup::{ADA, ADA_HASH, Asking, BOSS, SECRET_HASH, VERIFIER, application, basic, encoded, reads, text};
use crate::support::databases::Engine;
use crate::support::service::{Options, Service, free_port};

/// Chromium, spoken to by its DevTools protocol over pipes.
struct Chromium {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    next: u64,
    session: Option<String>,
    /// What the page's console and the browser complained of.
    complaints: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Chromium {
    fn start() -> Chromium {
        let known = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
        let on_path = |name: &&&str| {
            std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|at| at.join(name).exists()))
        };
        let program =
            known.iter().find(on_path).unwrap_or_else(|| panic!("no Chromium is on the PATH: run scripts/need test"));
        let folder = tempfile::tempdir().expect("a folder");
        // Chromium reads commands from descriptor 3 and answers on 4.
        let mut child = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "--",
                "sh",
                "-c",
                "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null",
                program,
            ])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
            .args(["--remote-debugging-pipe", "--ignore-certificate-errors", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium starts");
        let (to, from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut chromium = Chromium {
            child,
            to,
            from: BufReader::new(from),
            next: 0,
            session: None,
            complaints: Vec::new(),
            _folder: folder,
        };
        let target = chromium.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached =
            chromium.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        chromium.session = Some(text(&attached, "sessionId"));
        for domain in ["Page", "DOM", "Log", "Accessibility", "CSS"] {
            chromium.call(&format!("{domain}.enable"), json!({}));
        }
        chromium.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
        chromium
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|error| panic!("{error}"))
    }

    fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("Chromium listens");
        loop {
            let answer = self.read();
            if answer["id"] == self.next {
                return match answer.get("error") {
                    None => Ok(answer["result"].clone()),
                    Some(error) => Err(format!("{method}: {error}")),
                };
            }
        }
    }

    fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).expect("Chromium answers");
        bytes.pop();
        let message: Value = serde_json::from_slice(&bytes).expect("JSON");
        if message["method"] == "Log.entryAdded" {
            self.complaints.push(message["params"]["entry"].to_string());
        }
        message
    }

    /// Opens a URL and waits until it is there.
    fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        self.call("Page.navigate", json!({ "url": url }));
        self.until("h1");
    }

    /// Waits for an element.
    fn until(&mut self, selector: &str) -> Value {
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let root = self.try_call("DOM.getDocument", json!({})).unwrap_or_default();
            let asked = json!({ "nodeId": root["root"]["nodeId"], "selector": selector });
            // Between two pages the document goes while it is asked.
            if let Ok(found) = self.try_call("DOM.querySelector", asked)
                && found["nodeId"] != 0
            {
                return found["nodeId"].clone();
            }
            assert!(Instant::now() < patience, "{selector} does not come");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Left, top, right and bottom of an element.
    fn place(&mut self, selector: &str) -> [f64; 4] {
        let node = self.until(selector);
        let model = self.call("DOM.getBoxModel", json!({ "nodeId": node }));
        let border = &model["model"]["border"];
        [0, 1, 4, 5].map(|index| border[index].as_f64().expect("a number"))
    }

    fn click(&mut self, selector: &str) {
        let node = self.until(selector);
        self.call("DOM.scrollIntoViewIfNeeded", json!({ "nodeId": node }));
        let [left, top, right, bottom] = self.place(selector);
        for kind in ["mousePressed", "mouseReleased"] {
            let at = json!({ "type": kind, "x": (left + right) / 2.0, "y": (top + bottom) / 2.0, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", at);
        }
    }

    fn insert(&mut self, typed: &str) {
        self.call("Input.insertText", json!({ "text": typed }));
    }

    fn key(&mut self, key: &str, code: u32, typed: &str) {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": typed });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// The page as assistive technology has it: role, name, whether it has the focus.
    fn told(&mut self) -> Vec<(String, String, bool)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let nodes = tree["nodes"].as_array().expect("nodes").iter();
        let focused = |node: &Value| {
            let properties = node["properties"].as_array();
            properties
                .is_some_and(|all| all.iter().any(|one| one["name"] == "focused" && one["value"]["value"] == true))
        };
        nodes
            .filter(|node| node["ignored"] == false)
            .map(|node| (text(&node["role"]), text(&node["name"]), focused(node)))
            .collect()
    }

    /// A picture below the target folder, for a person to look at.
    fn picture(&mut self, name: &str) {
        let shot = self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        let png = base64::engine::general_purpose::STANDARD.decode(text(&shot, "data")).expect("base64");
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("consent-{name}.png"));
        std::fs::write(&file, png).expect("a file");
        println!("{}", file.display());
    }

    fn screen(&mut self, width: u32, height: u32, phone: bool, dark: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": if phone { 2 } else { 1 }, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let scheme = if dark { "dark" } else { "light" };
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        );
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The identity provider's side: what the browser was sent there with.
fn callback(port: u16) -> Receiver<String> {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    let (seen, all) = channel();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut head = [0; 8192];
            let length = socket.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            let body = "<!DOCTYPE html><title>back</title><h1 id=back>Back at the identity provider</h1>";
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            if target.starts_with("/callback") && seen.send(target).is_err() {
                return;
            }
        }
    });
    all
}

fn parameter(target: &str, name: &str) -> Option<String> {
    let query = target.split_once('?')?.1;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")))?;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
}

#[test]
fn a_person_agrees_and_refuses() {
    let port = free_port();
    let back = callback(port);
    let redirect_uri = format!("http://127.0.0.1:{port}/callback");
    let servers = format!(
        "{{ test: {{ default: true, authentication: {{ bearer: , oauth2: {{ clients: [{{ id: okta, secret_hash: \"{SECRET_HASH}\", \
         redirect_uris: [\"{redirect_uri}\"] }}], administrators: [{{ name: ada, password_hash: \"{ADA_HASH}\" }}] }} }} }} }}"
    );
    let database = application(Engine::MariaDb);
    let options = Options::adapter("tests/adapters/administrators.yaml").identity_servers(&servers);
    let service = Service::start(&database, options);
    let asking = [
        ("response_type", "code"),
        ("client_id", "okta"),
        ("redirect_uri", &redirect_uri),
        ("state", "xyz"),
        ("code_challenge", crate::setup::CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let url = format!("{}/oauth2/test/authorize?{}", service.url(), encoded(&asking));
    let mut chromium = Chromium::start();

    // By desktop: a wrong password, then the right one, by keyboard alone.
    chromium.screen(1280, 900, false, false);
    chromium.open(&url);
    let told = chromium.told();
    for (role, name) in
        [("textbox", "Account"), ("textbox", "Password"), ("button", "Agree"), ("button", "Refuse"), ("main", "")]
    {
        assert!(told.iter().any(|(known, called, _)| known == role && called == name), "{role} {name}: {told:?}");
    }
    assert!(
        told.iter().any(|(_, name, focused)| name == "Account" && *focused),
        "the cursor is where it is needed: {told:?}"
    );
    chromium.picture("desktop");
    chromium.insert(ADA.0);
    chromium.key("Tab", 9, "");
    chromium.insert("not her pass phrase");
    chromium.key("Enter", 13, "\r");
    chromium.until("[role=alert]");
    let told = chromium.told();
    assert!(told.iter().any(|(role, _, _)| role == "alert"), "{told:?}");
    assert!(told.iter().any(|(_, name, focused)| name == "Password" && *focused), "{told:?}");
    chromium.picture("desktop-wrong");
    chromium.insert(ADA.1);
    chromium.key("Enter", 13, "\r");
    chromium.until("#back");
    let target = back.recv_timeout(Duration::from_secs(30)).expect("the browser comes back");
    assert_eq!(parameter(&target, "state").as_deref(), Some("xyz"));
    assert_eq!(parameter(&target, "iss"), Some(format!("{}/oauth2/test", service.url())));
    let code = parameter(&target, "code").expect("a code");
    let mut idp = Asking::new(&service, "test");
    let body = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", VERIFIER),
    ];
    let tokens = idp.post("token", Some(&basic("okta", crate::setup::SECRET)), &body).expect(200).json();
    assert_eq!(reads(&service, "/scim/v2", &text(&tokens, "access_token")), 200);

    // By phone and in the dark: nothing is cut off, what is tapped is large enough; by mouse.
    chromium.screen(390, 844, true, true);
    chromium.open(&url);
    let size = chromium.call("Page.getLayoutMetrics", json!({}));
    let width = size["cssContentSize"]["width"].as_f64().expect("a width");
    assert!(width <= 390.0, "{width}: it must not be pushed sideways");
    for element in ["#username", "#password", "button.agree", "button[value=refuse]"] {
        let [left, top, right, bottom] = chromium.place(element);
        assert!(left >= 0.0 && right <= 390.0 && bottom - top >= 44.0, "{element}: {left} {top} {right} {bottom}");
    }
    chromium.picture("phone-dark");
    chromium.screen(320, 568, true, false);
    chromium.picture("phone-small");
    let size = chromium.call("Page.getLayoutMetrics", json!({}));
    assert!(size["cssContentSize"]["width"].as_f64().is_some_and(|width| width <= 320.0), "{size}");
    chromium.click("#username");
    chromium.insert(BOSS.0);
    chromium.click("#password");
    chromium.insert(BOSS.1);
    chromium.click("button.agree");
    chromium.until("#back");
    let target = back.recv_timeout(Duration::from_secs(30)).expect("the browser comes back");
    assert!(parameter(&target, "code").is_some(), "{target}");

    // Refusing takes no password.
    chromium.open(&url);
    chromium.click("button[value=refuse]");
    chromium.until("#back");
    let target = back.recv_timeout(Duration::from_secs(30)).expect("the browser comes back");
    assert_eq!(parameter(&target, "error").as_deref(), Some("access_denied"));

    // What cannot be answered is said to the person, and the browser stays.
    chromium.screen(1280, 900, false, false);
    chromium.open(&url.replace("okta", "nobody"));
    assert!(chromium.told().iter().any(|(role, _, _)| role == "alert"));
    chromium.picture("problem");
    let stopped: Vec<&String> = chromium
        .complaints
        .iter()
        .filter(|complaint| complaint.contains("Content Security Policy") || complaint.contains("\"security\""))
        .collect();
    assert!(stopped.is_empty(), "{stopped:?}");
    assert_eq!(database.count(&format!("SELECT COUNT(*) FROM {}oauth_grants", database.own_tables())), 2);
}
