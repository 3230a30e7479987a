//! `scimshim demo`: a complete instance on an embedded SQLite "legacy application": its own database,
//! certificate and token, five requests that show what they did to the rows, and then the service.

mod application;
mod certificate;
mod client;
mod round;
mod table;

use super::common::{Failure, print, print_findings, say};
use super::serve::block_on;
use super::{setup, token};
use crate::config::{self, Config, adapter_path};
use crate::document::{Findings, Source};
use crate::server::assemble::Assembler;
use crate::server::{log, service};
use clap::Args;
use client::Client;
use serde_json::json;
use std::io::{IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The adapter, for where no adapters folder is found.
const ADAPTER: &str = include_str!("../../../adapters/demo.yaml");
const SERVER: &str = "demo";

/// What may be asked.
#[derive(Args)]
pub struct Arguments {
    /// Where to listen [default: 127.0.0.1:8443, or a free port if that is taken]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The folder for the database, the certificate and the token; kept, and used again if it is there
    #[arg(long, value_name = "DIRECTORY", default_value = "scimshim-demo")]
    data: PathBuf,
    /// Keep serving without a terminal on stdin too
    #[arg(long)]
    serve: bool,
}

/// Runs the demonstration.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = prepare(&arguments.data)?;
    let ca = certificate::create(&folder)?;
    let listen = listen_address(arguments.listen)?;
    let config = configuration(&folder, listen)?;
    // A database that is not there is a mistake everywhere else.
    std::fs::OpenOptions::new().append(true).create(true).open(folder.join("application.db"))?;
    let assembler = Assembler::new(&config)?;
    let database = assembler.database();
    // A folder that is used again holds the application already.
    if std::fs::metadata(folder.join("application.db")).map_or(0, |file| file.len()) == 0 {
        application::create(database.as_ref())?;
    }
    setup::apply(&assembler)?;
    let (token, _) = token::make(&config, &assembler, SERVER, "demonstration", token::TEN_YEARS, false, false)?;

    let stays = arguments.serve || std::io::stdin().is_terminal();
    block_on(&config.clone(), async move {
        log::start(&config.log);
        let running = service::start(config.clone()).await?;
        let Some(address) = running.addresses.first().copied() else {
            return Err(Failure::Message("nothing to listen on".to_owned()));
        };
        let base_url = format!("{}/scim/v2", config.public_url);
        let told = json!({ "base_url": base_url, "token": token, "ca": folder.join("ca.pem") });
        write_private(&folder.join("demo.json"), format!("{told:#}\n").as_bytes())?;
        introduce(&base_url, &folder)?;
        let round = tokio::task::spawn_blocking(move || {
            let client = Client::new(address, &ca, "/scim/v2", token)?;
            round::run(&client, assembler.database().as_ref())
        });
        round.await.map_err(|error| Failure::Message(error.to_string()))??;
        if !stays {
            running.stop().await;
            return Ok(());
        }
        farewell(&base_url, &folder)?;
        running.until_stopped(None).await?;
        Ok(())
    })?
}

fn prepare(folder: &Path) -> Result<PathBuf, Failure> {
    let cannot = |error: std::io::Error| Failure::Message(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(cannot)?;
    folder.canonicalize().map_err(cannot)
}

/// What was asked for, or the first choice, or any port. The port is known before the service has it: it stands in the
/// configuration, in URLs and in the token.
fn listen_address(asked: Option<SocketAddr>) -> Result<SocketAddr, Failure> {
    let free = |address: SocketAddr| TcpListener::bind(address)?.local_addr();
    let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (found, cannot) = match asked {
        Some(address) if address.port() != 0 => return Ok(address),
        Some(address) => (free(address), format!("cannot listen on {address}")),
        None => (free(here(8443)).or_else(|_| free(here(0))), "no port is free".to_owned()),
    };
    found.map_err(|error| Failure::Message(format!("{cannot}: {error}")))
}

/// The configuration, written down so that it can be looked at and used with the other verbs.
fn configuration(folder: &Path, listen: SocketAddr) -> Result<Config, Failure> {
    let adapter = match adapter_path("demo", folder) {
        Ok(path) => path.canonicalize().unwrap_or(path),
        Err(_) => {
            let path = folder.join("demo.yaml");
            std::fs::write(&path, ADAPTER)?;
            path
        }
    };
    let admin = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let text = format!(
        "# Made by `scimshim demo`.\n\
         listen: \"{listen}\"\n\
         admin: {{ listen: \"{admin}\" }}\n\
         tls: {{ certificate: certificate.pem, private_key: key.pem }}\n\
         public_url: https://localhost:{port}\n\
         database: {{ url: \"sqlite://application.db\" }}\n\
         adapter: \"{adapter}\"\n\
         identity_servers:\n  {SERVER}: {{ default: true, authentication: bearer }}\n\
         log: {{ level: warn }}\n",
        port = listen.port(),
        adapter = adapter.display(),
    );
    let path = folder.join("config.yaml");
    std::fs::write(&path, &text)?;
    let mut findings = Findings::new();
    let source = Source::new(path.display().to_string(), text);
    match config::from_source(source, &path, &mut findings) {
        Some(config) => {
            print_findings(&findings);
            Ok(config)
        }
        None => Err(Failure::Findings(findings)),
    }
}

/// Writes a file that nobody else may read, in one step.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::Message(format!("{}: {error}", path.display()));
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(cannot)?;
    file.write_all(bytes).map_err(cannot)?;
    std::fs::rename(&beside, path).map_err(cannot)
}

fn introduce(base_url: &str, folder: &Path) -> Result<(), Failure> {
    print(&format!("scimshim {} serves a legacy application of 300 people, in SQLite", env!("CARGO_PKG_VERSION")))?;
    print(&format!("  SCIM URL  {base_url}"))?;
    print(&format!("  data      {}", folder.display()))
}

fn farewell(base_url: &str, folder: &Path) -> Result<(), Failure> {
    let folder = folder.display();
    print("\nIt keeps serving until Ctrl-C. From another terminal, for example:\n")?;
    print(&format!("  TOKEN=$(scimshim token issue {SERVER} --config {folder}/config.yaml)"))?;
    print(&format!("  curl --cacert {folder}/ca.pem -H \"Authorization: Bearer $TOKEN\" '{base_url}/Users?count=3'"))?;
    say("");
    Ok(())
}
