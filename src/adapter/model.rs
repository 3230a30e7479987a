//! The compiled adapter: what a YAML document means once it was checked against the live catalogue.
//!
//! Nothing here is text any more: tables and columns are those of the catalogue, parameters are filled
//! in, disabled parts are gone, attribute paths are the schema's own names. `directory/` runs it.

pub use self::rows::{Composed, ComposedPart, FormPiece, RowField, RowFieldValue, Rows};
use super::terms::{Condition, Expression, Template};
use crate::scim;
use crate::sql::{Cast, ColumnKind, Ident, Table, Value};
use chrono_tz::Tz;

mod rows;

/// One adapter, ready to serve one application.
#[derive(Debug)]
pub struct Adapter {
    /// `adapter:`.
    pub name: String,
    /// `title:`.
    pub title: String,
    /// Which of `versions` holds, if the document has any.
    pub version: Option<String>,
    /// The zone of the application's wall clock columns.
    pub time_zone: Tz,
    /// `session.strict`: run under the database's strict mode.
    pub strict: bool,
    /// The resource types in the document's order.
    pub resource_types: Vec<ResourceType>,
    /// Who may agree that a client gets access, where the document says.
    pub administrators: Option<super::Administrators>,
    /// The tables by which the application and its version were told, those that are there.
    pub told_by: Vec<crate::sql::Table>,
    /// What the journal must know of the tables that it writes.
    pub written: Vec<super::Written>,
}

/// `User`, `Group` or a type of the adapter's own.
#[derive(Debug)]
pub struct ResourceType {
    /// `User`.
    pub name: String,
    /// `/Users`.
    pub endpoint: String,
    /// One sentence for `/ResourceTypes`.
    pub description: String,
    /// What clients are told: the RFC's schemas without what is not mapped, and extensions typed from
    /// the catalogue.
    pub schema: scim::ResourceSchema,
    /// The tables behind it; one for most.
    pub sources: Vec<Source>,
    /// Which source a POST creates in; `None` where all refuse.
    pub create_in: Option<usize>,
}

/// A column of [`Source::columns`], by position.
pub type ColumnId = usize;

/// One table behind a resource type.
#[derive(Debug)]
pub struct Source {
    /// The name under `sources`; the resource type's own name where there is one source only.
    pub name: String,
    /// What stands before the key in the SCIM id.
    pub id_prefix: String,
    /// The table.
    pub table: Table,
    /// Every column of the table that is read or written, the key first (so the key is always 0).
    pub columns: Vec<Column>,
    /// The rows that exist for SCIM.
    pub filter: Condition,
    /// The rows of these that exist for the identity server.
    pub scope: Condition,
    /// Rows that are never changed.
    pub protected: Option<Condition>,
    /// `meta.created` and `meta.lastModified`.
    pub timestamps: Timestamps,
    /// How histories name a row.
    pub label: Vec<Template>,
    /// Rows that stand below one another.
    pub tree: Option<super::Tree>,
    /// Members that do not exist: refused, or left out.
    pub skip_unknown_members: bool,
    /// How each attribute meets SQL, in the order of the document.
    pub attributes: Vec<Attribute>,
    /// `create`; `None` refuses it.
    pub create: Option<Create>,
    /// `update`.
    pub update: Update,
    /// `delete`.
    pub delete: Delete,
}

impl Source {
    /// An attribute that is a link, and the link.
    pub fn link(&self, attribute: usize) -> Option<(&Attribute, &Link)> {
        let attribute = self.attributes.get(attribute)?;
        if let Binding::Link(link) = &attribute.binding { Some((attribute, link)) } else { None }
    }
}

/// A column as the catalogue knows it.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: Ident,
    /// What it holds.
    pub kind: ColumnKind,
    /// What binds are cast to.
    pub cast: Option<Cast>,
    /// Whether it takes NULL.
    pub nullable: bool,
    /// Whether its own comparison ignores case.
    pub ignores_case: bool,
}

/// Which columns hold the times of a row.
#[derive(Debug, Default)]
pub struct Timestamps {
    /// When it was made.
    pub created: Option<ColumnId>,
    /// When it was changed.
    pub modified: Option<ColumnId>,
    /// Whether we write them.
    pub written: bool,
}

/// Where in a resource an attribute stands, in the schema's own spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The extension's URN; `None` for the core schema and the common attributes.
    pub extension: Option<String>,
    /// `emails`.
    pub attribute: String,
    /// For a multi-valued attribute: which element.
    pub slot: Option<Slot>,
    /// `value`; `None` for a simple attribute, a whole reference, a link.
    pub sub: Option<String>,
}

/// One element of a multi-valued attribute that the table has room for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// `emails.value`: the primary element, else the first.
    Only,
    /// `phoneNumbers[type eq "work"].value`: the element whose sub-attribute has this value.
    Where {
        /// `type`.
        sub: String,
        /// `work`.
        value: String,
    },
}

/// One attribute and its binding.
#[derive(Debug)]
pub struct Attribute {
    /// Where it stands.
    pub target: Target,
    /// How it meets SQL.
    pub binding: Binding,
    /// The schema's word on it (type, caseExact, mutability, returned) after the adapter's changes.
    pub schema: scim::Attribute,
    /// A create or replace without it is refused.
    pub required: bool,
    /// No two rows may share it.
    pub unique: Unique,
    /// `pattern`, `min`, `max`.
    pub rule: Rule,
}

/// What a value must look like before it is converted.
#[derive(Debug, Default)]
pub struct Rule {
    /// A regular expression that must match.
    pub pattern: Option<regex::Regex>,
    /// At least so many characters.
    pub min: Option<u64>,
    /// At most so many characters.
    pub max: Option<u64>,
}

/// Uniqueness that scimshim keeps, whether the table has an index or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unique {
    /// Anything goes.
    No,
    /// Among the rows that exist for SCIM (tombstoned ones included).
    Visible,
    /// Among all rows of the table.
    All,
    /// Among the visible rows that share these columns.
    Within(Vec<ColumnId>),
}

/// How one attribute meets SQL.
#[derive(Debug)]
pub enum Binding {
    /// A column of the row.
    Column(ColumnBinding),
    /// A foreign key addressed by a natural key.
    Lookup(Box<Lookup>),
    /// A foreign key to another SCIM resource.
    Reference(Reference),
    /// Computed from other attributes; read-only.
    Template(Vec<Template>),
    /// Always the same.
    Constant(serde_json::Value),
    /// Kept in our own tables; what is shown while a client gave none.
    Sidecar(Vec<Template>),
    /// Values in a child table, one row each.
    Rows(Box<Rows>),
    /// Membership in a link table.
    Link(Box<Link>),
}

/// A value in the row itself.
#[derive(Debug)]
pub struct ColumnBinding {
    /// Which column.
    pub column: ColumnId,
    /// How the value travels.
    pub conversion: Conversion,
    /// One key inside a JSON column; empty for the whole column.
    pub json: Vec<String>,
    /// What the value there is like: the column, or what a scalar of a document is taken for.
    pub cell: Column,
    /// Shown while the column is empty.
    pub shown_when_empty: Vec<Template>,
    /// Fills the column whenever it would become empty.
    pub fallback: Vec<Template>,
    /// Columns written whenever this one is.
    pub also: Vec<(ColumnId, Expression)>,
    /// The column holds a hash; the attribute is never returned.
    pub hash: Option<super::Hash>,
    /// Whether this attribute writes its column (several may read one).
    pub writes: bool,
}

/// `lookup`.
#[derive(Debug)]
pub struct Lookup {
    /// The foreign key in the row.
    pub column: ColumnId,
    /// The table it points into.
    pub table: Table,
    /// The column that is the key there.
    pub key: Column,
    /// The column that people know it by.
    pub matched: Column,
    /// How the matched value travels.
    pub conversion: Conversion,
    /// Rows that exist for this purpose.
    pub filter: Condition,
    /// What the foreign key holds for "none".
    pub none: Value,
    /// More than one row matches: take the lowest key, or refuse.
    pub ambiguous_is_error: bool,
    /// No row matches.
    pub missing: Missing,
    /// How the row is made; columns of the lookup's table.
    pub create: Vec<(Column, Expression)>,
    /// Steps after it was made; `${id}` is the new row's key.
    pub then: Vec<Step>,
    /// The matched value is a path: levels that are missing are made.
    pub tree: Option<super::Tree>,
    /// How histories name the row.
    pub label: Option<super::Label>,
    /// A row outside `filter` that is brought back rather than made anew.
    pub revive: Option<LookupRevive>,
    /// Whether the attribute writes the column.
    pub writes: bool,
}

/// `lookup.revive`.
#[derive(Debug)]
pub struct LookupRevive {
    /// Which rows may be brought back.
    pub filter: Condition,
    /// What brings them back.
    pub set: Vec<(Column, Expression)>,
}

/// What a lookup does when no row matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Make the row.
    Create,
    /// Store "none".
    Clear,
    /// 400 invalidValue.
    Reject,
}

/// `reference`.
#[derive(Debug)]
pub struct Reference {
    /// The foreign key in the row.
    pub column: ColumnId,
    /// The resource type it points to (single source).
    pub resource_type: String,
    /// The column of that type's table that it holds; 0 is the id.
    pub key: ColumnId,
    /// What the foreign key holds for "none".
    pub none: Value,
    /// How histories name the row it points to.
    pub label: Option<super::Label>,
}

/// `link`: many-to-many membership.
#[derive(Debug)]
pub struct Link {
    /// The link table.
    pub table: Table,
    /// Its column that points to this resource, and the column of this resource's table it holds.
    pub parent: (Column, ColumnId),
    /// Its column that points to the member, and the column of the member's table it holds.
    pub child: (Column, ColumnId),
    /// The members' resource type (single source).
    pub resource_type: String,
    /// Link rows that count; equalities are written on insert.
    pub filter: Condition,
    /// Link rows that are shown, never changed.
    pub leave: Option<Condition>,
    /// Columns of a new link row, the equalities of `filter` included.
    pub set: Vec<(Column, Expression)>,
    /// Steps for each member added; `${each.COLUMN}` is the link row, `${each.COLUMN.label}` the member's label.
    pub added: Vec<Step>,
    /// Steps for each member removed.
    pub removed: Vec<Step>,
    /// The link row's other columns that those steps use.
    pub each: Vec<Column>,
    /// What removes a member: nothing here deletes the row, else these columns are set.
    pub remove_sets: Vec<(Column, Expression)>,
    /// Where a removed row stays: no second row of the same member can be beside it, so it is brought back.
    pub value_is_unique: bool,
    /// Membership changes move the parent's `modified`.
    pub touch: bool,
}

/// `create`.
#[derive(Debug, Default)]
pub struct Create {
    /// Columns of the new row that no attribute filled; equalities of `where` included.
    pub set: Vec<(ColumnId, Expression)>,
    /// A row outside `where` that is brought back.
    pub revive: Option<Revive>,
    /// What must hold before.
    pub guards: Vec<Guard>,
    /// Steps before the insert.
    pub before: Vec<Step>,
    /// Steps after it.
    pub then: Vec<Step>,
}

/// `create.revive`.
#[derive(Debug)]
pub struct Revive {
    /// The attribute (index into [`Source::attributes`]) whose value finds the row.
    pub by: usize,
    /// Which rows may be brought back.
    pub filter: Condition,
    /// What brings them back.
    pub set: Vec<(ColumnId, Expression)>,
    /// Steps afterwards.
    pub then: Vec<Step>,
}

/// `update`.
#[derive(Debug, Default)]
pub struct Update {
    /// Columns written with every change.
    pub set: Vec<(ColumnId, Expression)>,
    /// What must hold before.
    pub guards: Vec<Guard>,
    /// Steps before.
    pub before: Vec<Step>,
    /// Steps after.
    pub then: Vec<Step>,
}

/// `delete`.
#[derive(Debug)]
pub struct Delete {
    /// What a DELETE does.
    pub how: DeleteHow,
    /// Columns set by [`DeleteHow::Set`].
    pub set: Vec<(ColumnId, Expression)>,
    /// What must hold before.
    pub guards: Vec<Guard>,
    /// What happens when a guard refuses: 409, or the resource is deactivated and 204.
    pub blocked_deactivates: bool,
    /// Steps before.
    pub before: Vec<Step>,
    /// Steps after.
    pub then: Vec<Step>,
}

/// What a DELETE does to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteHow {
    /// The row goes, after its own links.
    Row,
    /// Columns are set (a soft delete).
    Set,
    /// As PATCH active=false, and a tombstone.
    Deactivate,
    /// 403.
    Refuse,
}

/// A count that must hold before a change.
#[derive(Debug)]
pub struct Guard {
    /// Only when this holds of the change.
    pub when: Option<Condition>,
    /// What is counted.
    pub table: Table,
    /// Which rows.
    pub filter: Condition,
    /// At most so many.
    pub at_most: Option<i64>,
    /// At least so many.
    pub at_least: Option<i64>,
    /// Why not; may use `${count}`.
    pub says: Template,
}

/// A statement beside a change, in the same transaction.
#[derive(Debug)]
pub struct Step {
    /// The table.
    pub table: Table,
    /// What is done.
    pub action: Action,
    /// Only when this holds of the change.
    pub when: Option<Condition>,
    /// Insert only where no row with these values is.
    pub if_absent: bool,
    /// Once, or once for each of these.
    pub for_each: ForEach,
    /// The columns whose changes count for `${changes}` and `for_each: change`, with their codes; empty
    /// is all.
    pub of: Vec<(ColumnId, Option<Value>)>,
}

/// What a step does.
#[derive(Debug)]
pub enum Action {
    /// `insert`.
    Insert(Vec<(Column, Expression)>),
    /// `update`.
    Update(Vec<(Column, Expression)>, Condition),
    /// `delete`.
    Delete(Condition),
}

/// How often a step runs.
#[derive(Debug)]
pub enum ForEach {
    /// Once.
    Once,
    /// Once for each changed column among [`Step::of`].
    Change,
    /// Once for each row selected; `${each.COLUMN}` is one of `columns`.
    Rows(Box<EachRow>),
}

/// `for_each: { table, where, first }`.
#[derive(Debug)]
pub struct EachRow {
    /// From where.
    pub table: Table,
    /// Which rows.
    pub filter: Condition,
    /// The columns that the step's values use.
    pub columns: Vec<Column>,
    /// Only the first by this column.
    pub first: Option<Column>,
}

/// How a value travels between JSON and its column.
#[derive(Clone, Debug)]
pub enum Conversion {
    /// Text as it is, within what the column holds.
    Text(TextRule),
    /// Two sets of stored values; the first of each is written. Values none of the sets holds read as
    /// nothing.
    Boolean {
        /// Stored for true.
        yes: Vec<Expression>,
        /// Stored for false.
        no: Vec<Expression>,
    },
    /// SCIM's word and what is stored for it.
    Enum(Vec<(String, Value)>),
    /// An integer.
    Integer,
    /// A decimal or floating point number.
    Decimal,
    /// An instant: in a wall clock column in the adapter's zone, or as it is in a timestamptz.
    DateTime,
    /// An instant as seconds (1), milliseconds (1000) ... since 1970.
    Unix(i64),
    /// A day; SCIM has text.
    Date,
    /// Base64 in SCIM, bytes in SQL.
    Binary,
    /// A JSON document.
    Json,
    /// A UUID.
    Uuid,
    /// A language tag and the application's own spelling.
    Locale {
        /// `en-US` or `en_US`.
        separator: char,
        /// What the application has; the first is taken for an unknown region of a known language.
        values: Vec<String>,
    },
}

/// What happens to text on its way to a column.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TextRule {
    /// White space at both ends goes.
    pub trim: bool,
    /// Lower case.
    pub lower: bool,
    /// What is stored when nothing is left: NULL, '' or 0; `None` keeps ''.
    pub empty: Option<Value>,
    /// At least so many characters.
    pub min: Option<u64>,
    /// At most so many characters, besides what the column holds.
    pub max: Option<u64>,
    /// `&`, `<` and `>` are stored as entities.
    pub entities: Option<Entities>,
    /// The separator between the parts of a path, which stays raw beside entities.
    pub parts: Option<String>,
    /// Too long: the column gets what fits and the sidecar the client's form; else 400.
    pub keep_overflow: bool,
}

/// How an application keeps `&`, `<` and `>` in its text columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entities {
    /// Always as entities.
    Always,
    /// As they are, beside older rows that have entities.
    Mixed,
}
