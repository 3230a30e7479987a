//! What the journal must know of the tables that an adapter writes: their columns, their keys, and which columns hold
//! secrets. The last is decided here once: a column is secret because an attribute says so (a password's hash, whatever is
//! `returned: never`), or because its name does.

use super::{Adapter, Attribute, Binding, Source, privileges};
use crate::scim::Returned;
use crate::sql::{Alias, Cast, Catalogue, ColumnKind, Expr, Ident, Table};
use std::collections::BTreeSet;

/// A table that is written.
#[derive(Clone, Debug)]
pub struct Written {
    /// Which.
    pub table: Table,
    /// Its columns.
    pub columns: Vec<WrittenColumn>,
    /// Positions of the columns of its primary key; empty where it has none.
    pub key: Vec<usize>,
    /// The position of the only column of its key, where the database numbers the rows.
    pub numbered: Option<usize>,
    /// Whether triggers are known that may write into it whatever they like.
    pub triggers: bool,
}

/// One of its columns.
#[derive(Clone, Debug)]
pub struct WrittenColumn {
    /// Its name.
    pub name: Ident,
    /// What it holds.
    pub kind: ColumnKind,
    /// What binds are cast to.
    pub cast: Option<Cast>,
    /// What stands in it is never kept.
    pub secret: bool,
}

impl Written {
    /// The position of a column.
    pub fn position(&self, name: &Ident) -> Option<usize> {
        self.columns.iter().position(|column| column.name == *name)
    }
}

impl WrittenColumn {
    /// A column whose values are text to the database, as those of our own tables.
    pub fn text(name: &str) -> Self {
        Self { name: Ident::new(name), kind: ColumnKind::Text(None), cast: None, secret: false }
    }

    /// The column in a select list. Types that nothing is known of are read as text.
    pub fn read(&self, alias: Option<Alias>) -> Expr {
        let column = Expr::Column(alias, self.name.clone());
        if self.kind == ColumnKind::Other { Expr::Text(Box::new(column)) } else { column }
    }
}

/// Whether a column or an attribute of this name holds a secret. Words are told apart by case, digits and signs:
/// `two_factor_secret` and `apiToken` are, `passenger` and `key` are not.
pub fn is_secret_name(name: &str) -> bool {
    const WHOLE: [&str; 20] = [
        "password",
        "passwords",
        "passwd",
        "passphrase",
        "passcode",
        "pwd",
        "pass",
        "passwort",
        "kennwort",
        "secret",
        "secrets",
        "token",
        "tokens",
        "otp",
        "totp",
        "salt",
        "hash",
        "credential",
        "credentials",
        "apikey",
    ];
    /// What opens something where it stands behind another word: `activation_code`, `private_key`.
    const PAIRS: [(&[&str], &[&str]); 3] = [
        (
            &["activation", "reset", "recovery", "persist", "confirmation", "verification", "backup", "pin"],
            &["code", "codes"],
        ),
        (&["private", "api", "secret", "access", "encryption", "signing", "session"], &["key", "keys"]),
        (&["session", "cookie"], &["id", "value"]),
    ];
    let words = words(name);
    let is = |list: &[&str], word: &String| list.contains(&word.as_str());
    words.iter().any(|word| is(&WHOLE, word) || word.starts_with("password"))
        || words.iter().enumerate().any(|(at, word)| {
            PAIRS.iter().any(|(before, last)| is(last, word) && words.iter().take(at).any(|word| is(before, word)))
        })
}

/// `apiToken2` is `api`, `token`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_alphabetic() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = c.is_lowercase();
        if c.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The tables that an adapter inserts into, updates or deletes from.
pub(super) fn written(adapter: &Adapter, catalogue: &Catalogue) -> Vec<Written> {
    let secrets = secrets(adapter);
    let written = privileges(adapter).into_iter().filter(|(_, needs)| needs.insert || needs.update || needs.delete);
    let known = written.filter_map(|(table, _)| {
        let info = catalogue.table(&table)?;
        let columns: Vec<WrittenColumn> = info
            .columns
            .iter()
            .map(|column| WrittenColumn {
                name: column.name.clone(),
                kind: column.kind.clone(),
                cast: column.cast.clone(),
                secret: !info.primary_key.contains(&column.name)
                    && (is_secret_name(column.name.as_str()) || secrets.contains(&(&table, &column.name))),
            })
            .collect();
        let at = |name: &Ident| info.columns.iter().position(|column| column.name == *name);
        let key: Vec<usize> = info.primary_key.iter().filter_map(at).collect();
        let numbered = match key.as_slice() {
            [only] => info.columns.get(*only).filter(|column| column.generated_key).map(|_| *only),
            _ => None,
        };
        Some(Written { table: table.clone(), columns, key, numbered, triggers: info.triggers })
    });
    known.collect()
}

/// The columns that attributes call secret.
fn secrets(adapter: &Adapter) -> BTreeSet<(&Table, &Ident)> {
    let mut found = BTreeSet::new();
    for source in adapter.resource_types.iter().flat_map(|type_| &type_.sources) {
        of_source(source, &mut found);
    }
    found
}

fn of_source<'a>(source: &'a Source, found: &mut BTreeSet<(&'a Table, &'a Ident)>) {
    for attribute in &source.attributes {
        match &attribute.binding {
            Binding::Column(binding) if is_secret(attribute) => {
                found.extend(source.columns.get(binding.column).map(|column| (&source.table, &column.name)));
            }
            Binding::Rows(rows) => of_source(&rows.child, found),
            _ => {}
        }
    }
}

fn is_secret(attribute: &Attribute) -> bool {
    matches!(&attribute.binding, Binding::Column(binding) if binding.hash.is_some())
        || attribute.schema.returned == Returned::Never
}

#[cfg(test)]
mod tests {
    use super::is_secret_name;

    #[test]
    fn names_that_hold_secrets() {
        for name in [
            "password",
            "Password",
            "password_hash",
            "passwordHistory",
            "user_pass",
            "two_factor_secret",
            "api_token",
            "apiToken",
            "remember_token",
            "cookie_token",
            "reset_password_code",
            "activation_code",
            "private_key",
            "APIKey",
            "totp",
            "pwd2",
            "passwd",
            "password_forget_token",
            "2fa_secret",
            "salt",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "passenger",
            "key",
            "id",
            "code",
            "country_code",
            "postal_code",
            "compass",
            "secretary",
            "tokenizer",
            "login",
            "hashtag",
            "employee_num",
            "activated",
            "reset_at",
            "zip_code",
            "primary_key",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
