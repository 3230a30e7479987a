//! What an identity server may do with each resource type: `may` of the configuration.

use crate::scim::Error;

/// Something done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// POST.
    Create,
    /// GET and filters.
    Read,
    /// PUT and PATCH.
    Update,
    /// `active: false`, and a DELETE that may not delete.
    Deactivate,
    /// DELETE.
    Delete,
}

impl Operation {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Read => "read",
            Operation::Update => "update",
            Operation::Deactivate => "deactivate",
            Operation::Delete => "delete",
        }
    }
}

/// Which operations are allowed on which resource types.
#[derive(Clone, Debug, Default)]
pub struct Permissions {
    may: Option<Vec<(String, Vec<Operation>)>>,
    /// The resource types that a scope names.
    within: Option<Vec<String>>,
}

impl Permissions {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these; a type that is not named may be nothing.
    pub fn only(types: Vec<(String, Vec<Operation>)>) -> Self {
        Self { may: Some(types), within: None }
    }

    /// The same for the resource types that a scope names; the others may be nothing.
    pub fn within(mut self, types: Vec<String>) -> Self {
        self.within = Some(types);
        self
    }

    fn in_scope(&self, resource_type: &str) -> bool {
        self.within.as_ref().is_none_or(|types| types.iter().any(|name| name == resource_type))
    }

    /// Whether an operation is allowed.
    pub fn allow(&self, resource_type: &str, operation: Operation) -> bool {
        if !self.in_scope(resource_type) {
            return false;
        }
        self.may.as_ref().is_none_or(|types| {
            types.iter().any(|(name, operations)| name == resource_type && operations.contains(&operation))
        })
    }

    /// 403 with the rule's name where it is not.
    pub fn check(&self, resource_type: &str, operation: Operation) -> Result<(), Error> {
        if self.allow(resource_type, operation) {
            return Ok(());
        }
        if !self.in_scope(resource_type) {
            return Err(Error::forbidden(format!(
                "this identity server has no access to a {resource_type}: `scope` in its configuration does not name it"
            )));
        }
        Err(Error::forbidden(format!(
            "this identity server may not {} a {resource_type}: `may` in its configuration does not list it",
            operation.as_str()
        )))
    }
}
