package mssql

import (
	"fmt"
	"strings"
	"time"
)

// Every statement of this package is here. A value goes into one as a parameter; a
// name, or a path where the syntax takes no parameter, is quoted by ident or text. No
// text of a database, a manifest or a file is ever a statement.

// ident quotes a name.
func ident(parts ...string) string {
	quoted := make([]string, len(parts))
	for i, p := range parts {
		quoted[i] = "[" + strings.ReplaceAll(p, "]", "]]") + "]"
	}
	return strings.Join(quoted, ".")
}

// text quotes a string.
func text(s string) string { return "N'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Statements about the server.
const (
	sqlServer = `SELECT CONVERT(nvarchar(256), ISNULL(SERVERPROPERTY('ServerName'), N'')), CONVERT(nvarchar(128), SERVERPROPERTY('ProductVersion')),
		CONVERT(nvarchar(128), SERVERPROPERTY('Edition')), CONVERT(int, SERVERPROPERTY('EngineEdition')), SUSER_SNAME(),
		ISNULL(IS_SRVROLEMEMBER('sysadmin'), 0), CONVERT(nvarchar(260), ISNULL(SERVERPROPERTY('InstanceDefaultDataPath'), N''))`
	// Only a member of db_owner of master can take such a lock, or hold it against us.
	sqlLock  = `DECLARE @r int; EXEC @r = sp_getapplock @Resource = @p1, @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0, @DbPrincipal = 'dbo'; SELECT @r`
	sqlNames = `SELECT name FROM sys.databases`
	// An account of Windows need not be a login: its group can be.
	sqlLogin = `SELECT CASE WHEN SUSER_SID(@p1) IS NULL THEN 0 ELSE 1 END`
)

// Statements about a database, from master.
const (
	sqlStatus = `SELECT CONVERT(int, d.database_id), CONVERT(nvarchar(30), d.create_date, 126), ISNULL(CONVERT(nvarchar(36), r.database_guid), N''), d.state_desc, d.user_access_desc, CONVERT(int, d.is_read_only), ISNULL(SUSER_SNAME(d.owner_sid), N''), CONVERT(int, d.is_broker_enabled)
		FROM sys.databases d LEFT JOIN sys.database_recovery_status r ON r.database_id = d.database_id WHERE d.name = @p1`

	// Each column is what is refused, in the order of obstacles.
	sqlObstacles = `SELECT CASE WHEN d.source_database_id IS NULL THEN 0 ELSE 1 END,
		CASE WHEN d.replica_id IS NULL AND d.group_database_id IS NULL THEN 0 ELSE 1 END,
		(SELECT COUNT(*) FROM sys.database_mirroring m WHERE m.database_id = d.database_id AND m.mirroring_guid IS NOT NULL),
		CASE WHEN d.is_published = 1 OR d.is_subscribed = 1 OR d.is_merge_published = 1 OR d.is_distributor = 1 THEN 1 ELSE 0 END,
		CONVERT(int, d.is_cdc_enabled),
		(SELECT COUNT(*) FROM sys.databases s WHERE s.source_database_id = d.database_id),
		(SELECT COUNT(*) FROM sys.master_files f WHERE f.database_id = d.database_id AND f.type NOT IN (0, 1))
		FROM sys.databases d WHERE d.name = @p1`
	sqlLogShipping = `SELECT COUNT(*) FROM msdb.dbo.log_shipping_primary_databases WHERE primary_database = @p1`
	sqlKeys        = `SELECT ISNULL(c.name, N'(unknown)') FROM sys.dm_database_encryption_keys k LEFT JOIN sys.certificates c ON c.thumbprint = k.encryptor_thumbprint
		WHERE k.database_id = DB_ID(@p1) AND k.encryptor_type = N'CERTIFICATE' AND c.pvt_key_last_backup_date IS NULL`
	sqlFiles = `SELECT f.name, f.physical_name, CONVERT(int, f.type), CONVERT(bigint, f.size) * 8192 FROM sys.master_files f
		WHERE f.database_id = DB_ID(@p1) ORDER BY f.file_id`
)

// sqlOwners selects the logins, besides sysadmins, that RESTRICTED_USER admits by
// their rights in the database: members of db_owner, and of roles that are members of it.
func sqlOwners(database string) string {
	in := ident(database)
	return `WITH r (id) AS (SELECT p.principal_id FROM ` + in + `.sys.database_principals p WHERE p.name = N'db_owner'
		UNION ALL SELECT m.member_principal_id FROM ` + in + `.sys.database_role_members m JOIN r ON r.id = m.role_principal_id)
		SELECT DISTINCT l.name FROM sys.server_principals l WHERE l.is_disabled = 0 AND ISNULL(IS_SRVROLEMEMBER('sysadmin', l.name), 0) = 0
		AND (l.sid IN (SELECT d.owner_sid FROM sys.databases d WHERE d.name = @p1) OR l.sid IN (SELECT u.sid FROM ` + in + `.sys.database_principals u
		JOIN r ON r.id = u.principal_id)) ORDER BY l.name`
}

// sqlSessions lists who uses a database: who is in it, or holds a lock on it from
// another one.
const sqlSessions = `SELECT CONVERT(int, s.session_id), CONVERT(nvarchar(30), s.login_time, 126), s.login_name, ISNULL(s.program_name, N''),
	ISNULL(IS_SRVROLEMEMBER('sysadmin', s.login_name), 0) FROM sys.dm_exec_sessions s
	WHERE s.is_user_process = 1 AND s.session_id <> @@SPID AND (s.database_id = @p1 OR EXISTS (SELECT 1 FROM sys.dm_tran_locks l
	WHERE l.resource_type = N'DATABASE' AND l.resource_database_id = @p1 AND l.request_session_id = s.session_id)) ORDER BY s.session_id`

// sqlGuard ends the batch that it begins unless the name is still that of the same
// database. Each statement that changes one of those beside, or drops or renames one, is
// in such a batch.
func sqlGuard(database string, is identity) string {
	return fmt.Sprintf(`IF NOT EXISTS (SELECT 1 FROM sys.databases d LEFT JOIN sys.database_recovery_status r ON r.database_id = d.database_id
	WHERE d.name = %s AND d.database_id = %d AND CONVERT(nvarchar(30), d.create_date, 126) = %s AND (r.database_guid IS NULL OR CONVERT(nvarchar(36), r.database_guid) = %s))
	BEGIN; THROW %d, N'another database has this name', 1; END;
`, text(database), is.id, text(is.created), text(is.guid), errReplaced)
}

func sqlKill(id int) string { return fmt.Sprintf("KILL %d", id) }

func sqlRestrict(database string, notice time.Duration) string {
	how := "IMMEDIATE"
	if seconds := int64((notice + time.Second - 1) / time.Second); seconds > 0 {
		how = fmt.Sprintf("AFTER %d SECONDS", seconds)
	}
	return "ALTER DATABASE " + ident(database) + " SET RESTRICTED_USER WITH ROLLBACK " + how
}

// sqlAlone leaves the session that runs it, in the database, the only one.
func sqlAlone(database string) string {
	return "ALTER DATABASE " + ident(database) + " SET SINGLE_USER WITH ROLLBACK IMMEDIATE"
}

func sqlAdmit(database string) string { return "ALTER DATABASE " + ident(database) + " SET MULTI_USER" }

func sqlRename(from, to string) string {
	return "ALTER DATABASE " + ident(from) + " MODIFY NAME = " + ident(to)
}

func sqlDrop(database string) string { return "DROP DATABASE " + ident(database) }

func sqlCreate(database string) string { return "CREATE DATABASE " + ident(database) }

func sqlSet(database, option string, on bool) string {
	value := "OFF"
	if on {
		value = "ON"
	}
	return "ALTER DATABASE " + ident(database) + " SET " + option + " " + value
}

func sqlBroker(database string, on bool) string {
	word := "DISABLE_BROKER"
	if on {
		word = "ENABLE_BROKER"
	}
	return "ALTER DATABASE " + ident(database) + " SET " + word + " WITH ROLLBACK IMMEDIATE"
}

func sqlOwner(database, login string) string {
	return "ALTER AUTHORIZATION ON DATABASE::" + ident(database) + " TO " + ident(login)
}

// Statements about a backup file.

func sqlBackup(database, path string, compress bool) string {
	compression := "NO_COMPRESSION"
	if compress {
		compression = "COMPRESSION"
	}
	return "BACKUP DATABASE " + ident(database) + " TO DISK = " + text(path) + " WITH COPY_ONLY, FORMAT, INIT, CHECKSUM, STOP_ON_ERROR, " + compression
}

func sqlVerify(path string) string {
	return "RESTORE VERIFYONLY FROM DISK = " + text(path) + " WITH CHECKSUM, STOP_ON_ERROR"
}

func sqlFileList(path string) string { return "RESTORE FILELISTONLY FROM DISK = " + text(path) }

// sqlRestore never replaces a database or a file.
func sqlRestore(database, path string, files []file) string {
	var b strings.Builder
	b.WriteString("RESTORE DATABASE " + ident(database) + " FROM DISK = " + text(path) + " WITH CHECKSUM, STOP_ON_ERROR, RESTRICTED_USER, RECOVERY")
	for _, f := range files {
		b.WriteString(", MOVE " + text(f.Name) + " TO " + text(f.Path))
	}
	return b.String()
}

// optionColumns are the options of a database that are compared. The broker is
// enabled last, and compared with nothing.
var optionColumns = []string{
	"recovery_model_desc", "compatibility_level", "collation_name", "page_verify_option_desc", "containment_desc",
	"snapshot_isolation_state_desc", "is_read_committed_snapshot_on", "is_auto_close_on", "is_auto_shrink_on",
	"is_auto_create_stats_on", "is_auto_update_stats_on", optionAsync, "is_ansi_null_default_on", "is_ansi_nulls_on",
	"is_ansi_padding_on", "is_ansi_warnings_on", "is_arithabort_on", "is_concat_null_yields_null_on", "is_numeric_roundabort_on",
	"is_quoted_identifier_on", "is_recursive_triggers_on", "is_cursor_close_on_commit_on", "is_local_cursor_default",
	"is_parameterization_forced", "is_date_correlation_on", "is_honor_broker_priority_on", optionTrust, optionChain,
}

const (
	optionTrust = "is_trustworthy_on"
	optionChain = "is_db_chaining_on"
	optionAsync = "is_auto_update_stats_async_on"
)

// sqlOptions selects a name and a value for each option. Columns of catalog views
// have different collations, which have no common one.
func sqlOptions() string {
	var parts []string
	for _, c := range optionColumns {
		parts = append(parts, "("+text(c)+", CONVERT(nvarchar(128), d."+c+") COLLATE DATABASE_DEFAULT)")
	}
	return "SELECT o.name, ISNULL(o.value, N'') FROM sys.databases d CROSS APPLY (VALUES " + strings.Join(parts, ", ") + ") o (name, value) WHERE d.name = @p1"
}

// sqlUsers selects the users that have a login, with it. It reads catalog views alone.
func sqlUsers(database string) string {
	return "SELECT u.name, l.name FROM " + ident(database) + `.sys.database_principals u JOIN sys.server_principals l ON l.sid = u.sid
		WHERE u.type IN ('S', 'U', 'G') AND u.principal_id > 4 ORDER BY u.name`
}

// markBroker is the name of an extended property: the broker of the database is to be
// enabled once the database has the live name.
const markBroker = "aspupdate.broker"

// markScratch is that of a database that a SelfTest has made.
const markScratch = "aspupdate.scratch"

func sqlMarked(database, property string) string {
	return "SELECT COUNT(*) FROM " + ident(database) + ".sys.extended_properties WHERE class = 0 AND name = " + text(property)
}

// Statements in a database, as its owner and without rights outside it, see
// session.inside.
const (
	sqlAsOwner = `EXECUTE AS USER = N'dbo' WITH NO REVERT`
	sqlCheckDB = `DBCC CHECKDB WITH NO_INFOMSGS, ALL_ERRORMSGS`
	sqlMark    = `EXEC sys.sp_addextendedproperty @name = N'` + markBroker + `', @value = N'1'`
	sqlUnmark  = `EXEC sys.sp_dropextendedproperty @name = N'` + markBroker + `'`

	sqlMarkScratch = `EXEC sys.sp_addextendedproperty @name = N'` + markScratch + `', @value = N'1'`

	// Triggers of the database itself, which its own changes fire. This evaluates nothing of theirs.
	sqlTriggers = `SELECT t.name FROM sys.triggers t WHERE t.parent_class = 0 AND t.is_disabled = 0 ORDER BY t.name`

	sqlTables = `SELECT CONVERT(int, t.object_id), s.name, t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id
		WHERE t.is_ms_shipped = 0 ORDER BY s.name, t.name`
	// Columns that nothing needs to compute, of types that have a checksum.
	sqlColumns = `SELECT CONVERT(int, c.object_id), c.name FROM sys.columns c JOIN sys.tables t ON t.object_id = c.object_id
		WHERE t.is_ms_shipped = 0 AND c.is_computed = 0 AND ISNULL(COLUMNPROPERTY(c.object_id, c.name, 'IsHidden'), 0) = 0
		AND c.system_type_id IN (36, 40, 41, 42, 43, 48, 52, 56, 58, 59, 60, 61, 62, 98, 104, 106, 108, 122, 127, 165, 167, 173, 175, 189, 231, 239)
		ORDER BY c.object_id, c.column_id`
)

func sqlSum(schema, table string, columns []string) string {
	sum := "0"
	if len(columns) > 0 {
		quoted := make([]string, len(columns))
		for i, c := range columns {
			quoted[i] = ident(c)
		}
		sum = "ISNULL(CHECKSUM_AGG(BINARY_CHECKSUM(" + strings.Join(quoted, ", ") + ")), 0)"
	}
	return "SELECT COUNT_BIG(*), CONVERT(bigint, " + sum + ") FROM " + ident(schema, table)
}

// sqlSetTriggers fires none itself: there is no event for it.
func sqlSetTriggers(what string, names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = ident(n)
	}
	return what + " TRIGGER " + strings.Join(quoted, ", ") + " ON DATABASE"
}

func sqlMap(user, login string) string {
	return "ALTER USER " + ident(user) + " WITH LOGIN = " + ident(login)
}

// catalog are queries that describe what is in a database besides rows, by kind. A
// restore keeps the numbers of objects. Columns are put together by this program: on the
// server their collations could be in conflict.
var catalog = map[string][]string{
	"objects": {`SELECT o.object_id, s.name, o.name, o.type, o.parent_object_id FROM sys.objects o JOIN sys.schemas s ON s.schema_id = o.schema_id WHERE o.is_ms_shipped = 0`},
	"columns": {`SELECT c.object_id, c.column_id, c.name, TYPE_NAME(c.user_type_id), c.max_length, c.precision, c.scale, c.is_nullable, c.is_identity, c.is_computed,
		c.collation_name FROM sys.columns c JOIN sys.objects o ON o.object_id = c.object_id WHERE o.is_ms_shipped = 0`},
	"code": {
		`SELECT m.object_id, m.execute_as_principal_id, m.definition FROM sys.sql_modules m`,
		`SELECT c.object_id, c.is_disabled, c.is_not_trusted, c.definition FROM sys.check_constraints c`,
		`SELECT f.object_id, f.definition FROM sys.default_constraints f`,
		`SELECT p.object_id, p.column_id, p.is_persisted, p.definition FROM sys.computed_columns p`,
		`SELECT t.object_id, t.name, t.parent_class, t.is_disabled FROM sys.triggers t`,
		`SELECT y.object_id, y.base_object_name FROM sys.synonyms y`,
		`SELECT a.assembly_id, a.name, a.clr_name, a.permission_set_desc FROM sys.assemblies a WHERE a.is_user_defined = 1`,
	},
	"indexes": {`SELECT i.object_id, i.index_id, i.name, i.type, i.is_unique, i.is_primary_key, i.is_disabled, i.filter_definition FROM sys.indexes i
		JOIN sys.objects o ON o.object_id = i.object_id WHERE o.is_ms_shipped = 0`},
	"keys":      {`SELECT k.object_id, k.parent_object_id, k.referenced_object_id, k.is_disabled, k.is_not_trusted FROM sys.foreign_keys k`},
	"types":     {`SELECT t.user_type_id, t.schema_id, t.name, t.max_length, t.is_nullable, t.is_table_type FROM sys.types t WHERE t.is_user_defined = 1`},
	"sequences": {`SELECT q.object_id, CONVERT(nvarchar(60), q.current_value), CONVERT(nvarchar(60), q.increment) FROM sys.sequences q`},
	"principals": {
		`SELECT p.principal_id, p.name, p.type, p.owning_principal_id FROM sys.database_principals p`,
		`SELECT m.role_principal_id, m.member_principal_id FROM sys.database_role_members m`,
	},
	"permissions": {`SELECT p.class, p.major_id, p.minor_id, p.grantee_principal_id, p.type, p.state FROM sys.database_permissions p WHERE p.major_id >= 0`},
	"properties": {`SELECT e.class, e.major_id, e.minor_id, e.name, CONVERT(nvarchar(max), e.value) FROM sys.extended_properties e
		WHERE NOT (e.class = 0 AND e.name = N'` + markBroker + `')`},
}
