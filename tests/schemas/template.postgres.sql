-- A home-made application on PostgreSQL, as adapters/template.yaml takes it: UUID keys, an enum, jsonb, citext, boolean and
-- timestamptz columns.
CREATE EXTENSION IF NOT EXISTS citext;

CREATE TYPE employment AS ENUM ('employee', 'contractor', 'intern');

CREATE TABLE departments (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name citext NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  login citext NOT NULL,
  external_id text,
  given_name text,
  family_name text,
  display_name text,
  email citext,
  work_phone text,
  mobile_phone text,
  street text,
  city text,
  post_code varchar(10),
  country char(2),
  job_title text,
  employment employment NOT NULL DEFAULT 'employee',
  language varchar(10),
  time_zone text,
  is_active boolean NOT NULL DEFAULT true,
  password_hash text,
  password_set_at timestamptz,
  staff_number integer,
  department_id uuid REFERENCES departments,
  manager_id uuid REFERENCES users,
  settings jsonb NOT NULL DEFAULT '{}',
  hired_on date,
  last_seen timestamptz,
  is_admin boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE UNIQUE INDEX users_login ON users (login);
CREATE INDEX users_email ON users (email);
CREATE INDEX users_external_id ON users (external_id);
CREATE INDEX users_manager ON users (manager_id);

CREATE TABLE teams (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name citext NOT NULL UNIQUE,
  description text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE team_members (
  team_id uuid NOT NULL REFERENCES teams,
  user_id uuid NOT NULL REFERENCES users,
  source text NOT NULL DEFAULT 'manual',
  added_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (team_id, user_id)
);
CREATE INDEX team_members_user ON team_members (user_id);

CREATE TABLE sessions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id uuid NOT NULL REFERENCES users
);

CREATE TABLE audit_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  user_id uuid,
  details jsonb
);
