package fetch

import (
	"context"
	"errors"
	"path"
	"strings"
)

// Names lists the names in a folder and nothing else, by NLST: for who needs
// neither size nor time nor kind, it is the cheapest way to look. Names come
// in any order, byte for byte as the server sent them, without "." and "..".
//
// It promises what List does: a missing folder is an error that wraps
// [ErrNotFound], and a listing that was cut is an error, never a shorter
// list. What is in the list is the server's choice: most leave out hidden
// files, and some old ones folders.
func (f FTP) Names(ctx context.Context, dir string) ([]string, error) {
	var names []string
	err := f.with(ctx, "list names", dir, func(s *session) (err error) {
		names, err = s.names(dir)
		return err
	})
	return names, err
}

func (s *session) names(dir string) (names []string, err error) {
	defer guard(&err)
	if err := s.conn.ChangeDir(dir); err != nil {
		return nil, err
	}
	ask := func() error {
		_, err := s.conn.NameList("")
		return err
	}
	var lines []string
	err = s.lines(dir, ask, func(some []string) { lines = append(lines, some...) })
	if code := refused(err); code == 450 || code == 550 {
		// The folder is there, or CWD would have failed. Some servers say so
		// when NLST has nothing to name, others when it may not be read:
		// List tells which.
		return s.namesByList(dir)
	}
	if err != nil {
		return nil, err
	}
	return parseNames(lines, dir)
}

func (s *session) namesByList(dir string) ([]string, error) {
	entries, err := s.list(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Kind == KindUnreadable {
			return nil, &Error{Op: "list names", Name: dir, Err: errors.New("no name can be made out in the line " + show(e.Name)),
				Hint: "list the folder with List"}
		}
		names = append(names, e.Name)
	}
	return names, nil
}

// parseNames reads the lines of NLST. Some servers put the folder before the
// names; what is a path even without it was not asked for.
func parseNames(lines []string, dir string) ([]string, error) {
	dir = path.Join("/", dir)
	names := make([]string, 0, len(lines))
	for _, line := range lines {
		name := line
		if i := strings.LastIndexByte(line, '/'); i >= 0 {
			name = line[i+1:]
			if at := line[:i]; name == "" || at != "." && path.Join("/", at) != dir {
				return nil, &Error{Op: "list names", Name: dir, Err: errors.New("no name in this folder: " + show(line)),
					Hint: "list the folder with List"}
			}
		}
		if !isFolderItself(name) {
			names = append(names, name)
		}
	}
	return names, nil
}
