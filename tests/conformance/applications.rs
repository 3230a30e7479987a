//! The applications that the tools are let loose on.

use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::shared;

/// What the tools want of any service: a new resource on the first page of a list, and members that nobody has ever heard
/// of taken without a word.
fn options(adapter: &str) -> Options {
    Options::adapter(adapter)
        .identity_servers("{ test: { default: true, authentication: bearer } }")
        .more("limits: { page: 5000, failures_per_minute: 1000000 }")
}

/// The demonstration's own application, in SQLite.
pub fn demo() -> (Database, Service) {
    let database = Database::demo();
    let service = Service::start(&database, options("tests/conformance/adapters/demo.yaml"));
    (database, service)
}

/// The same with the adapter as it is shipped.
pub fn plain_demo() -> (Database, Service) {
    let database = Database::demo();
    let service = Service::prepare(&database, Options::adapter("adapters/demo.yaml"));
    (database, service)
}

/// Snipe-IT's schema on MariaDB with one of the adapters for it. The testers write 36 characters into every attribute, for
/// which its columns `zip` and `locale` have no room: they are widened.
pub fn snipe_it(adapter: &str) -> Option<(Database, Service)> {
    let schema = shared("schemas/snipe-it-8.6.3.sql")?;
    let database = Database::create(Engine::MariaDb);
    database.load(&schema);
    database
        .execute("ALTER TABLE users MODIFY zip varchar(191) DEFAULT NULL, MODIFY locale varchar(191) DEFAULT 'en-US'");
    let service = Service::start(&database, options(adapter));
    Some((database, service))
}

/// The small application on MariaDB, for where the real one is not at hand.
pub fn small(adapter: &str) -> (Database, Service) {
    let database = Database::small(Engine::MariaDb);
    database.execute(
        "ALTER TABLE people MODIFY postcode varchar(190), MODIFY language varchar(190), MODIFY staff_no varchar(190)",
    );
    let service = Service::start(&database, options(adapter));
    (database, service)
}
