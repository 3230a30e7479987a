//! `administrators`: which rows of the application are its administrators, who may agree that an OAuth client gets access, and
//! how their passwords are verified. Read alone; nothing here is ever written.

use super::conditions::condition;
use super::context::{Context, Scope};
use super::names::compiled;
use super::{Column, Condition, Hash};
use crate::document::{Findings, Node, Reader};
use crate::sql::{ColumnKind, Table};

/// The application's administrators.
#[derive(Debug)]
pub struct Administrators {
    /// The table of accounts.
    pub table: Table,
    /// What is typed as the name.
    pub name: Column,
    /// The hash of the password.
    pub password: Column,
    /// How the application hashes. Rows hashed otherwise are verified all the same; unknown names take as long as this.
    pub hash: Hash,
    /// Which rows.
    pub filter: Condition,
}

/// `{ table, name, password, hash, where }`.
pub(super) fn administrators(
    node: Option<&Node>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Administrators> {
    let node = node.filter(|node| !node.is_null())?;
    let mut reader = Reader::mapping(node, findings)?;
    let table = reader.required("table", findings);
    let name = reader.required("name", findings);
    let password = reader.required("password", findings);
    let hash = reader.word("hash", &Hash::WORDS, findings).unwrap_or(Hash::Bcrypt(10));
    let filter = reader.required("where", findings);
    reader.finish(findings);
    let relation = context.names.table(table?, findings)?;
    let text = |node: Option<&Node>, findings: &mut Findings| {
        let node = node?;
        let info = relation.named(node, findings)?;
        if !matches!(info.kind, ColumnKind::Text(_)) {
            findings.error(node, format!("the column `{}` does not hold text", info.name));
        }
        Some(compiled(info))
    };
    let (name, password) = (text(name, findings), text(password, findings));
    let filter_node = filter?;
    if filter_node.entries().is_empty() {
        findings
            .error(filter_node, "every row would be an administrator")
            .help("say which are: `where: { is_admin: 1, active: 1 }`");
    }
    let filter = condition(Some(filter_node), &relation, Scope::plain(), context, findings);
    Some(Administrators { table: relation.table.clone(), name: name?, password: password?, hash, filter })
}
