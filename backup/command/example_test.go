package command_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/command"
)

// Firebird with gbak. The database is a file, which the server must not have open
// while it is renamed: stop it before. The script describe.sql selects what
// identifies the data, such as
//
//	SELECT COUNT(*), SUM(AMOUNT), SUM(MOD(HASH(NAME), 1000000007)), SUM(MOD(HASH(PHOTO), 1000000007)) FROM CHILDREN;
func Example_firebird() {
	env := append(os.Environ(), "ISC_USER=SYSDBA", "ISC_PASSWORD="+os.Getenv("ASP_DB_PASSWORD"))
	gbak := func(args ...string) command.Command {
		return command.Command{Argv: append([]string{"gbak"}, args...), Env: env, Timeout: 2 * time.Hour}
	}
	target := &command.Target{
		Live: "/srv/asp/asp.fdb",
		Commands: command.Commands{
			Backup:  gbak("-b", "-g", "{live}", "{file}"),
			Verify:  gbak("-c", "{file}", "{new}"), // a trial restore, dropped afterwards
			Restore: gbak("-c", "{file}", "{new}"),
			Describe: command.Command{
				Argv: []string{"isql-fb", "-bail", "-q", "-ch", "UTF8", "-i", "/etc/aspupdate/describe.sql", "{name}"},
				Env:  env, Timeout: time.Hour,
			},
		},
		Logs: "/var/log/aspupdate",
	}
	store := &backup.Store{Dir: "/srv/backups"}
	snap, err := store.Take(context.Background(), "before 7.13.100", target)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(snap.ID)
}

// SQL Server with sqlcmd, written from Microsoft's documentation and not run by the
// authors of this package. -b turns an SQL error into an exit code, and the password
// is passed in a variable. asp and asp_log are the logical names of the database's
// files, as printed by RESTORE FILELISTONLY.
func Example_sqlServer() {
	env := append(os.Environ(), "SQLCMDPASSWORD="+os.Getenv("ASP_DB_PASSWORD"))
	sqlcmd := func(database, sql string) command.Command {
		return command.Command{
			Argv: []string{"sqlcmd", "-S", "localhost", "-U", "aspupdate", "-d", database, "-b", "-x", "-h", "-1", "-W", "-f", "65001",
				"-Q", "SET NOCOUNT ON; " + sql},
			Env: env, Timeout: 2 * time.Hour,
		}
	}
	target := &command.Target{
		Live: "asp",
		Commands: command.Commands{
			Backup: sqlcmd("master", "BACKUP DATABASE [{live}] TO DISK = N'{file}' WITH CHECKSUM, COPY_ONLY"),
			Verify: sqlcmd("master", "RESTORE VERIFYONLY FROM DISK = N'{file}' WITH CHECKSUM"),
			Restore: sqlcmd("master", `RESTORE DATABASE [{new}] FROM DISK = N'{file}' WITH CHECKSUM,
				MOVE N'asp' TO N'D:\Data\{new}.mdf', MOVE N'asp_log' TO N'D:\Data\{new}.ldf'`),
			Describe: sqlcmd("{name}", `SELECT OBJECT_SCHEMA_NAME(object_id), OBJECT_NAME(object_id), SUM(rows) FROM sys.partitions
				WHERE index_id IN (0, 1) AND OBJECTPROPERTY(object_id, 'IsUserTable') = 1 GROUP BY object_id ORDER BY object_id`),
			Version: sqlcmd("master", "SELECT @@VERSION"),
			List:    sqlcmd("master", "SELECT name FROM sys.databases"),
			Rename: sqlcmd("master", `BEGIN TRY
					ALTER DATABASE [{from}] SET SINGLE_USER WITH ROLLBACK IMMEDIATE;
					ALTER DATABASE [{from}] MODIFY NAME = [{to}];
					ALTER DATABASE [{to}] SET MULTI_USER;
				END TRY
				BEGIN CATCH
					IF DB_ID(N'{from}') IS NOT NULL ALTER DATABASE [{from}] SET MULTI_USER;
					THROW;
				END CATCH`),
			Drop: sqlcmd("master", "DROP DATABASE [{name}]"),
		},
		Logs: `C:\ProgramData\aspupdate\logs`,
	}
	store := &backup.Store{Dir: `D:\Backups`} // the service's account may write there
	snap, err := store.Take(context.Background(), "before 7.13.100", target)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(snap.ID)
}
