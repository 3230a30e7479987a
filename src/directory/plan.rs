//! What is compiled once at start: for each source the statement that reads its rows, and how a row
//! becomes a resource.
//!
//! The select list of a source starts with [`Source::columns`] in their order, so that a row read here
//! can be looked at by [`ColumnId`]; columns that only writes need stand there as a constant. Behind
//! them come the joined columns.

use super::child_rows::ChildPlan;
use super::side::Side;
use crate::adapter::{
    Adapter, Aliases, Attribute, Binding, Environment, Part, ResourceType, Slot, Source, Template, Variable,
};
use crate::own::{Own, OwnTable};
use crate::scim::Kind;
use crate::sql::{Alias, Expr, Ident, Join, JoinKind, Predicate, Select, Table};

/// The main table of every statement here.
pub(super) const MAIN: Alias = Alias(0);

/// One resource type, compiled.
pub(super) struct TypePlan {
    /// One for each source.
    pub sources: Vec<SourcePlan>,
    /// Names of the attributes whose elements are read and written apart: `members`, `groups`.
    pub collections: Vec<String>,
    /// Multi-valued attributes that have room for one element.
    pub single_valued: Vec<String>,
    /// Links of other types that point here, for `groups`: one of a table, the first.
    pub reverse: Vec<Reverse>,
    /// All of them.
    pub pointing: Vec<Reverse>,
}

/// A link of another resource type whose members are of this type.
#[derive(Clone, Copy)]
pub(super) struct Reverse {
    /// The type that has the link.
    pub type_: usize,
    /// Its source.
    pub source: usize,
    /// Its attribute.
    pub attribute: usize,
}

/// One source, compiled.
pub(super) struct SourcePlan {
    /// What our own tables call resources of this source: `User`, or `Group.projects`.
    pub kind: String,
    /// How a row becomes a resource.
    pub fields: Vec<Field>,
    /// How its rows are named where other resources show them.
    pub display: Option<Display>,
    /// The attribute `externalId`.
    pub external_id: Option<usize>,
    /// The attribute `active`.
    pub active: Option<usize>,
    /// The attributes bound to links.
    pub links: Vec<usize>,
    /// The attributes whose values are rows of their own.
    pub children: Vec<ChildPlan>,
    /// What rows are remembered by: names and columns.
    pub known_by: Vec<(String, usize)>,
    /// For callers whose externalId stands in a column: the default identity server.
    pub for_default: ReadPlan,
    /// For all others.
    pub for_others: ReadPlan,
}

/// How rows of a source are read.
pub(super) struct ReadPlan {
    /// All rows, with every join and no filter but visibility.
    pub select: Select,
    /// The same for one row: the key is parameter 0.
    pub by_key: crate::sql::Statement,
    /// The same with the groups of the row, where they can come along: one array of them for each of
    /// [`TypePlan::reverse`], behind all other columns.
    pub by_key_with_groups: Option<crate::sql::Statement>,
    /// Where each attribute's joined values stand in the row.
    pub joined: Vec<Option<Joined>>,
    /// Where `externalId` stands when it is kept in our own tables.
    pub external_id: Option<usize>,
    /// The alias of that table.
    pub links_alias: Option<Alias>,
    /// Where the sidecar's document stands.
    pub sidecar: usize,
    /// The alias of that table.
    pub sidecar_alias: Alias,
}

/// A joined table of one attribute.
#[derive(Clone)]
pub(super) struct Joined {
    /// The table's alias.
    pub alias: Alias,
    /// Its first column in the row: the matched value of a lookup; the key of a reference, behind which stand
    /// the columns of the target's [`Display`].
    pub first: usize,
}

/// The attribute that names a resource, and what must be read for it.
pub(super) struct Display {
    /// Attributes to evaluate, in order; the last is the name itself.
    pub attributes: Vec<usize>,
    /// Columns of the table that they need.
    pub columns: Vec<usize>,
}

/// One attribute of the resource, as it is put together.
pub(super) struct Field {
    /// The extension it stands in.
    pub extension: Option<String>,
    /// Its name.
    pub name: String,
    /// How.
    pub shape: Shape,
    /// No client writes it: nothing of a client's form is kept for it.
    pub read_only: bool,
}

/// The shapes of attributes.
pub(super) enum Shape {
    /// One value.
    Simple(usize),
    /// A reference: `{value, $ref, displayName}`, or the bare id where the schema says it is simple.
    Reference {
        /// The attribute.
        attribute: usize,
        /// Whether it is complex.
        complex: bool,
    },
    /// Sub-attributes.
    Complex(Vec<(String, usize)>),
    /// Elements with room in the row.
    Slots(Vec<SlotPlan>),
    /// Elements that are rows of a child table: the attribute.
    Rows(usize),
}

/// One element of a multi-valued attribute.
pub(super) struct SlotPlan {
    /// Which element.
    pub slot: Slot,
    /// Its sub-attributes.
    pub subs: Vec<(String, usize)>,
}

impl TypePlan {
    /// Compiles one resource type.
    pub fn new(adapter: &Adapter, type_: &ResourceType, own: &Own, environment: &Environment<'_>) -> Self {
        let mut pointing: Vec<Reverse> = Vec::new();
        for (t, other) in adapter.resource_types.iter().enumerate() {
            for (s, source) in other.sources.iter().enumerate() {
                for (a, attribute) in source.attributes.iter().enumerate() {
                    if matches!(&attribute.binding, Binding::Link(link) if link.resource_type == type_.name) {
                        pointing.push(Reverse { type_: t, source: s, attribute: a });
                    }
                }
            }
        }
        let mut reverse = pointing.clone();
        reverse.dedup_by_key(|one| (one.type_, one.source));
        let sources: Vec<SourcePlan> = type_
            .sources
            .iter()
            .map(|source| SourcePlan::new(adapter, type_, source, &reverse, own, environment))
            .collect();
        let mut collections = Vec::new();
        let mut single_valued = Vec::new();
        for (plan, source) in sources.iter().zip(&type_.sources) {
            for attribute in plan.links.iter().filter_map(|index| source.attributes.get(*index)) {
                if !collections.contains(&attribute.target.attribute) {
                    collections.push(attribute.target.attribute.clone());
                }
            }
            for field in &plan.fields {
                if let Shape::Slots(slots) = &field.shape
                    && slots.len() == 1
                    && slots.iter().all(|slot| slot.slot == Slot::Only)
                {
                    single_valued.push(field.name.clone());
                }
                if let Shape::Rows(index) = &field.shape
                    && let Some(Binding::Rows(rows)) = source.attributes.get(*index).map(|found| &found.binding)
                    && rows.single
                {
                    single_valued.push(field.name.clone());
                }
            }
        }
        Self { sources, collections, single_valued, reverse, pointing }
    }
}

impl SourcePlan {
    fn new(
        adapter: &Adapter,
        type_: &ResourceType,
        source: &Source,
        reverse: &[Reverse],
        own: &Own,
        environment: &Environment<'_>,
    ) -> Self {
        let kind = own_kind(type_, source);
        let find = |name: &str| {
            source
                .attributes
                .iter()
                .position(|a| a.target.extension.is_none() && a.target.attribute == name && a.target.sub.is_none())
        };
        let external_id = find("externalId");
        let links = source
            .attributes
            .iter()
            .enumerate()
            .filter(|(_, attribute)| matches!(attribute.binding, Binding::Link(_)))
            .map(|(index, _)| index)
            .collect();
        let in_column = external_id
            .and_then(|index| source.attributes.get(index))
            .is_some_and(|attribute| matches!(attribute.binding, Binding::Column(_)));
        let type_name = type_.name.as_str();
        let reader = Reader { adapter, source, own, environment, main: MAIN, type_name, reverse, kind: &kind };
        Self {
            fields: fields(source),
            display: Display::of(source),
            external_id,
            active: find("active"),
            links,
            children: reader.children(),
            known_by: super::stranger::known_by(source),
            for_default: reader.plan(external_id.is_some() && !in_column),
            for_others: reader.plan(external_id.is_some()),
            kind,
        }
    }

    /// Whether resources have elements that are read apart: members, child rows. Then their version is known only
    /// where those were read.
    pub fn has_collections(&self) -> bool {
        !self.links.is_empty() || !self.children.is_empty()
    }

    /// How this caller reads.
    pub fn reading(&self, default_server: bool) -> &ReadPlan {
        if default_server { &self.for_default } else { &self.for_others }
    }
}

/// What our own tables call the resources of a source.
pub(super) fn own_kind(type_: &ResourceType, source: &Source) -> String {
    if type_.sources.len() > 1 { format!("{}.{}", type_.name, source.name) } else { type_.name.clone() }
}

/// The rows of `source` that exist for the identity server: those of `where` and its scope without a tombstone. The server's name
/// is bound by the caller where the statement needs it.
pub(super) fn visible(
    source: &Source,
    kind: &str,
    own: &Own,
    alias: Alias,
    environment: &Environment<'_>,
    aliases: &mut Aliases,
) -> Predicate {
    let filter = environment.predicate(&source.filter, Some(alias), aliases);
    let filter = filter.and(environment.predicate(&source.scope, Some(alias), aliases));
    filter.and(Predicate::Not(Box::new(tombstoned(source, kind, own, alias, aliases))))
}

/// Whether a row has a tombstone.
pub(super) fn tombstoned(source: &Source, kind: &str, own: &Own, alias: Alias, aliases: &mut Aliases) -> Predicate {
    let stone = aliases.fresh();
    Predicate::Exists(Box::new(
        Select::new(own.table(OwnTable::Tombstones), stone, vec![Expr::Number(1)]).filter(own_row(
            stone,
            kind,
            key(source, alias),
        )),
    ))
}

/// `resource_type = kind AND resource_id = key` of one of our own tables.
pub(super) fn own_row(alias: Alias, kind: &str, key: Expr) -> Predicate {
    Predicate::eq(Expr::column(alias, &Ident::new("resource_type")), Expr::value(kind))
        .and(Predicate::eq(Expr::column(alias, &Ident::new("resource_id")), Expr::Text(Box::new(key))))
}

/// The key column of a source.
pub(super) fn key(source: &Source, alias: Alias) -> Expr {
    source.columns.first().map_or(Expr::Number(0), |column| Expr::column(alias, &column.name))
}

/// Compiles what reads one source, or one child table.
pub(super) struct Reader<'a> {
    pub adapter: &'a Adapter,
    pub source: &'a Source,
    pub own: &'a Own,
    pub environment: &'a Environment<'a>,
    /// The alias of its table.
    pub main: Alias,
    pub type_name: &'a str,
    pub reverse: &'a [Reverse],
    pub kind: &'a str,
}

impl Reader<'_> {
    fn plan(&self, linked_external_id: bool) -> ReadPlan {
        let source = self.source;
        let mut needed = columns_read(source);
        // What the links of other types hold of this one, for `groups`.
        for other in self.adapter.resource_types.iter().flat_map(|type_| &type_.sources) {
            needed.extend(other.attributes.iter().filter_map(|attribute| match &attribute.binding {
                Binding::Link(link) if link.resource_type == self.type_name => Some(link.child.1),
                _ => None,
            }));
        }
        let mut columns: Vec<Expr> = source
            .columns
            .iter()
            .enumerate()
            .map(|(id, column)| if needed.contains(&id) { Expr::column(MAIN, &column.name) } else { Expr::Number(0) })
            .collect();
        let mut aliases = Aliases::from(1);
        let mut joins = Vec::new();
        let mut joined = Vec::new();
        for attribute in &source.attributes {
            joined.push(self.join(attribute, &mut columns, &mut joins, &mut aliases));
        }
        let mut external_id = None;
        let mut links_alias = None;
        if linked_external_id {
            let alias = aliases.fresh();
            external_id = Some(columns.len());
            links_alias = Some(alias);
            columns.push(Expr::column(alias, &Ident::new("external_id")));
            let server = Predicate::eq(Expr::column(alias, &Ident::new("server")), Expr::Param(SERVER, None));
            joins.push(Join {
                kind: JoinKind::Left,
                table: self.own.table(OwnTable::Links),
                alias,
                on: server.and(own_row(alias, self.kind, key(source, MAIN))),
            });
        }
        let alias = aliases.fresh();
        let sidecar = columns.len();
        columns.push(Expr::column(alias, &Ident::new("document")));
        joins.push(Join {
            kind: JoinKind::Left,
            table: self.own.table(OwnTable::Sidecar),
            alias,
            on: own_row(alias, self.kind, key(source, MAIN)),
        });
        let mut select = Select::new(source.table.clone(), MAIN, columns);
        select.joins = joins;
        select.filter = visible(source, self.kind, self.own, MAIN, self.environment, &mut aliases);
        let cast = source.columns.first().and_then(|column| column.cast.clone());
        let by_key =
            select.clone().filter(Predicate::eq(key(source, MAIN), Expr::Param(KEY, cast)).and(select.filter.clone()));
        let by_key_with_groups = self.with_groups(&by_key, &mut aliases);
        ReadPlan {
            select,
            by_key: crate::sql::Statement::Select(by_key),
            by_key_with_groups,
            joined,
            external_id,
            links_alias,
            sidecar,
            sidecar_alias: alias,
        }
    }

    /// The groups of the row in the row itself: one statement needs no snapshot.
    fn with_groups(&self, by_key: &Select, aliases: &mut Aliases) -> Option<crate::sql::Statement> {
        if self.reverse.is_empty() {
            return None;
        }
        let mut select = by_key.clone();
        for reverse in self.reverse {
            let side = Side::of_reverse(self.adapter, reverse).filter(Side::fits_json)?;
            let here = self.source.columns.get(side.near.1)?;
            let pair = (aliases.fresh(), aliases.fresh());
            let mut groups = side.select(self.own, self.environment, pair, aliases);
            let near = groups.columns.remove(0);
            groups.filter = Predicate::eq(near, Expr::column(MAIN, &here.name)).and(groups.filter);
            select.columns.push(Expr::Rows(Box::new(groups)));
        }
        Some(crate::sql::Statement::Select(select))
    }

    /// How the child tables of the source are read.
    fn children(&self) -> Vec<ChildPlan> {
        let rows =
            self.source.attributes.iter().enumerate().filter_map(|(index, attribute)| match &attribute.binding {
                Binding::Rows(rows) => Some((index, rows)),
                _ => None,
            });
        rows.map(|(index, rows)| ChildPlan::new(index, rows, &Reader { source: &rows.child, reverse: &[], ..*self }))
            .collect()
    }

    /// What an attribute needs of another table.
    pub fn join(
        &self,
        attribute: &Attribute,
        columns: &mut Vec<Expr>,
        joins: &mut Vec<Join>,
        aliases: &mut Aliases,
    ) -> Option<Joined> {
        let local = |column: usize| self.source.columns.get(column).map(|column| Expr::column(self.main, &column.name));
        match &attribute.binding {
            Binding::Lookup(lookup) => {
                let alias = aliases.fresh();
                let first = columns.len();
                columns.push(Expr::column(alias, &lookup.matched.name));
                let on = Predicate::eq(Expr::column(alias, &lookup.key.name), local(lookup.column)?);
                let on = on.and(self.environment.predicate(&lookup.filter, Some(alias), aliases));
                joins.push(left(lookup.table.clone(), alias, on));
                Some(Joined { alias, first })
            }
            Binding::Reference(reference) => {
                let (_, type_) = find_type(self.adapter, &reference.resource_type)?;
                let target = type_.sources.first()?;
                let alias = aliases.fresh();
                let first = columns.len();
                columns.push(key(target, alias));
                if let Some(display) = Display::of(target) {
                    for column in display.columns.iter().filter_map(|id| target.columns.get(*id)) {
                        columns.push(Expr::column(alias, &column.name));
                    }
                }
                let there = target.columns.get(reference.key)?;
                let on = Predicate::eq(Expr::column(alias, &there.name), local(reference.column)?);
                let kind = own_kind(type_, target);
                let on = on.and(visible(target, &kind, self.own, alias, self.environment, aliases));
                joins.push(left(target.table.clone(), alias, on));
                Some(Joined { alias, first })
            }
            _ => None,
        }
    }
}

/// Parameter of [`ReadPlan::by_key`]: the key.
pub(super) const KEY: usize = 0;
/// Parameter of every reading statement: the identity server's name.
pub(super) const SERVER: usize = 1;
/// The first of those that are the request's instant.
pub(super) const INSTANTS: usize = 2;

fn left(table: Table, alias: Alias, on: Predicate) -> Join {
    Join { kind: JoinKind::Left, table, alias, on }
}

/// A resource type by its name.
pub(super) fn find_type<'a>(adapter: &'a Adapter, name: &str) -> Option<(usize, &'a ResourceType)> {
    adapter.resource_types.iter().enumerate().find(|(_, type_)| type_.name == name)
}

impl Display {
    /// What names a row of this source: `displayName`, else `userName`.
    pub fn of(source: &Source) -> Option<Self> {
        let by_name = |name: &str| {
            source.attributes.iter().position(|attribute| {
                let target = &attribute.target;
                target.extension.is_none() && target.attribute == name && target.sub.is_none()
            })
        };
        let attribute = by_name("displayName").or_else(|| by_name("userName"))?;
        let mut display = Self { attributes: Vec::new(), columns: vec![0] };
        display.add(source, attribute);
        display.columns.sort_unstable();
        display.columns.dedup();
        Some(display)
    }

    fn add(&mut self, source: &Source, attribute: usize) {
        if self.attributes.contains(&attribute) {
            return;
        }
        let templates: &[Template] = match source.attributes.get(attribute).map(|attribute| &attribute.binding) {
            Some(Binding::Column(binding)) => {
                self.columns.push(binding.column);
                &binding.shown_when_empty
            }
            Some(Binding::Template(templates) | Binding::Sidecar(templates)) => templates,
            _ => &[],
        };
        for part in templates.iter().flat_map(|template| &template.0) {
            match part {
                Part::Variable(Variable::Attribute(other) | Variable::LocalPart(other)) => self.add(source, *other),
                Part::Variable(Variable::Column(name)) => {
                    self.columns.extend(source.columns.iter().position(|column| column.name == *name));
                }
                _ => {}
            }
        }
        self.attributes.push(attribute);
    }
}

/// The columns that reading needs: hashes and what only writes set stay in the database.
fn columns_read(source: &Source) -> Vec<usize> {
    let mut needed = vec![0];
    needed.extend(source.timestamps.created);
    needed.extend(source.timestamps.modified);
    for attribute in &source.attributes {
        match &attribute.binding {
            Binding::Column(binding) if binding.hash.is_none() => {
                needed.push(binding.column);
                needed.extend(template_columns(source, &binding.shown_when_empty));
            }
            Binding::Template(templates) | Binding::Sidecar(templates) => {
                needed.extend(template_columns(source, templates));
            }
            Binding::Link(link) => needed.push(link.parent.1),
            Binding::Rows(rows) => needed.push(rows.parent.1),
            _ => {}
        }
    }
    needed
}

fn template_columns(source: &Source, templates: &[Template]) -> Vec<usize> {
    let names = templates.iter().flat_map(|template| &template.0).filter_map(|part| match part {
        Part::Variable(Variable::Column(name)) => Some(name),
        _ => None,
    });
    names.filter_map(|name| source.columns.iter().position(|column| column.name == *name)).collect()
}

fn fields(source: &Source) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for (index, attribute) in source.attributes.iter().enumerate() {
        let target = &attribute.target;
        if matches!(attribute.binding, Binding::Link(_)) || is_external_id(attribute) {
            continue;
        }
        let read_only = attribute.schema.is_read_only() || attribute.schema.returned == crate::scim::Returned::Never;
        let known =
            fields.iter().position(|field| field.extension == target.extension && field.name == target.attribute);
        let field = match known.and_then(|known| fields.get_mut(known)) {
            Some(field) => field,
            None => {
                let shape = match (&attribute.binding, &target.slot, &target.sub) {
                    (Binding::Rows(_), _, _) => Shape::Rows(index),
                    (_, Some(_), _) => Shape::Slots(Vec::new()),
                    (_, None, Some(_)) => Shape::Complex(Vec::new()),
                    (Binding::Reference(_), None, None) => {
                        Shape::Reference { attribute: index, complex: attribute.schema.kind == Kind::Complex }
                    }
                    (_, None, None) => Shape::Simple(index),
                };
                fields.push(Field {
                    extension: target.extension.clone(),
                    name: target.attribute.clone(),
                    shape,
                    read_only,
                });
                let Some(field) = fields.last_mut() else { continue };
                field
            }
        };
        field.read_only &= read_only;
        let Some(sub) = &target.sub else { continue };
        match &mut field.shape {
            Shape::Complex(subs) => subs.push((sub.clone(), index)),
            Shape::Slots(slots) => {
                let slot = target.slot.clone().unwrap_or(Slot::Only);
                match slots.iter_mut().find(|known| known.slot == slot) {
                    Some(known) => known.subs.push((sub.clone(), index)),
                    None => slots.push(SlotPlan { slot, subs: vec![(sub.clone(), index)] }),
                }
            }
            Shape::Simple(_) | Shape::Reference { .. } | Shape::Rows(_) => {}
        }
    }
    fields
}

/// Whether this is the common attribute `externalId`, which belongs to the client that sent it.
pub(super) fn is_external_id(attribute: &Attribute) -> bool {
    attribute.target.extension.is_none() && attribute.target.attribute == "externalId"
}
