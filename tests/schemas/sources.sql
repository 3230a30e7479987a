-- Two more tables of the small application whose rows are groups of people: projects, known by a code, and sites. KEY and
-- MOMENT stand for what each database calls them.
CREATE TABLE projects (
  code varchar(20) NOT NULL PRIMARY KEY,
  title varchar(60) DEFAULT NULL,
  closed_at MOMENT DEFAULT NULL
);

CREATE TABLE project_people (
  project_code varchar(20) NOT NULL,
  person_id integer NOT NULL,
  PRIMARY KEY (project_code, person_id)
);

CREATE TABLE sites (
  id KEY,
  name varchar(60) NOT NULL
);

CREATE TABLE site_people (
  site_id integer NOT NULL,
  person_id integer NOT NULL,
  PRIMARY KEY (site_id, person_id)
);
