package private

import (
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Rights in an access list, as winnt.h has them.
const (
	addFile     = 0x2 // of a file: write
	addDir      = 0x4 // of a file: append
	writeEA     = 0x10
	deleteChild = 0x40
	writeAttrs  = 0x100
	readData    = 0x1

	// Who has one of these can replace a directory or what is in it, take it
	// over, or turn it into a junction.
	replace = deleteChild | windows.DELETE | windows.WRITE_DAC | windows.WRITE_OWNER | windows.GENERIC_ALL
	change  = replace | addFile | addDir | writeEA | writeAttrs | windows.GENERIC_WRITE
	read    = readData | windows.GENERIC_READ
)

// judge decides by owner and access list, those of a link itself and not of its
// target. Entries that deny are left out: they only take rights away.
func judge(path string, fi fs.FileInfo, u use) (verdict, error) {
	sd, err := descriptor(path)
	if err != nil {
		return verdict{}, fmt.Errorf("cannot read the access list of %s: %w", path, err)
	}
	trusted, err := ours(u.system)
	if err != nil {
		return verdict{}, err
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return verdict{}, fmt.Errorf("cannot read the owner of %s: %w", path, err)
	}
	if !trusted(owner) {
		return verdict{why: fmt.Sprintf("%s belongs to %s", path, account(owner)), next: fmt.Sprintf("icacls %q /setowner *S-1-5-32-544", path)}, nil
	}
	rights, bad := windows.ACCESS_MASK(replace), "(R,W,D)"
	if u.last {
		rights, bad = change, "(W)"
	}
	if u.secret {
		rights, bad = rights|read, "(R)"
	}
	dacl, _, err := sd.DACL()
	if err != nil || dacl == nil {
		return verdict{why: path + " has no access list: everyone may change it", next: "move it to a volume with NTFS, or give it a list with icacls"}, nil //nolint:nilerr // none is the same as an empty one
	}
	var who []string
	for i := range uint32(dacl.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(dacl, i, &ace); err != nil {
			return verdict{}, fmt.Errorf("cannot read the access list of %s: %w", path, err)
		}
		if ace.Mask&rights == 0 || ace.Header.AceFlags&windows.INHERIT_ONLY_ACE != 0 {
			continue
		}
		switch sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart)); ace.Header.AceType {
		case windows.ACCESS_ALLOWED_ACE_TYPE, allowedIf:
			if !trusted(sid) {
				who = append(who, account(sid)+":"+letters(ace.Mask, bad))
			}
		case allowedCompound, allowedObject, allowedObjectIf: // the account stands elsewhere in these
			who = append(who, "an account of an unusual entry:"+letters(ace.Mask, bad))
		}
	}
	if len(who) > 0 {
		return verdict{why: fmt.Sprintf("%s is open to %s", path, strings.Join(who, ", ")), next: repair(path, fi)}, nil
	}
	return verdict{}, nil
}

// Other types of entries that allow, of winnt.h.
const (
	allowedCompound = 0x4
	allowedObject   = 0x5
	allowedIf       = 0x9 // under a condition, which is taken for true
	allowedObjectIf = 0xB
)

// repair is the command that closes a path.
func repair(path string, fi fs.FileInfo) string {
	inherit := ""
	if fi.IsDir() {
		inherit = "(OI)(CI)"
	}
	return fmt.Sprintf("icacls %q /inheritance:r /grant:r *S-1-5-18:%sF *S-1-5-32-544:%sF", path, inherit, inherit)
}

// letters shows rights as icacls does, shortened.
func letters(mask windows.ACCESS_MASK, otherwise string) string {
	const full, modify = 0x1F01FF, 0x1301BF
	switch {
	case mask&full == full || mask&windows.GENERIC_ALL != 0:
		return "(F)"
	case mask&modify == modify:
		return "(M)"
	case mask&(addFile|addDir|windows.GENERIC_WRITE) != 0:
		return "(W)"
	case mask&read != 0:
		return "(R)"
	}
	return otherwise
}

// descriptor returns owner and access list of a file, a directory or a link.
func descriptor(path string) (*windows.SECURITY_DESCRIPTOR, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(p, windows.READ_CONTROL, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	return windows.GetSecurityInfo(h, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION|windows.DACL_SECURITY_INFORMATION)
}

// ours returns whether an account is the system, an administrator, Windows's own
// installer, or unless only the system counts this process's.
func ours(system bool) (func(*windows.SID) bool, error) {
	known := []string{
		"S-1-5-18", "S-1-5-32-544", "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
		"S-1-3-4", // the owner's rights: the owner is asked about before
	}
	if !system {
		user, err := windows.GetCurrentProcessToken().GetTokenUser()
		if err != nil {
			return nil, err
		}
		known = append(known, user.User.Sid.String())
	}
	return func(sid *windows.SID) bool {
		text := sid.String()
		for _, k := range known {
			if k == text {
				return true
			}
		}
		return false
	}, nil
}

// account returns the name of an account, or its number.
func account(sid *windows.SID) string {
	name, domain, _, err := sid.LookupAccount("")
	switch {
	case err != nil:
		return sid.String()
	case domain == "":
		return name
	}
	return domain + `\` + name
}

// Mkdir makes a directory for administrators and the system, and for this
// account if it is no administrator. What is made in it inherits that. The list
// that it would inherit itself often lets every user read and make files. It
// fails if path exists.
func Mkdir(path string) error {
	token := windows.GetCurrentProcessToken()
	user, err := token.GetTokenUser()
	if err != nil {
		return err
	}
	// An administrator's directories serve the system's tasks too, which do not
	// trust the administrator's own account.
	list := "O:BAD:P"
	who := []string{"SY", "BA"}
	if admin, err := administrator(); err != nil || !admin {
		list, who = "D:P", append(who, user.User.Sid.String())
	}
	for _, w := range who {
		list += "(A;OICI;FA;;;" + w + ")"
	}
	sd, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		return err
	}
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return err
	}
	sa := windows.SecurityAttributes{SecurityDescriptor: sd}
	sa.Length = uint32(unsafe.Sizeof(sa))
	if err := windows.CreateDirectory(p, &sa); err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// administrator reports whether this process has an administrator's rights.
func administrator() (bool, error) {
	sid, err := windows.CreateWellKnownSid(windows.WinBuiltinAdministratorsSid)
	if err != nil {
		return false, err
	}
	return windows.Token(0).IsMember(sid)
}
