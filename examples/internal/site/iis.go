package site

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/rollback/roles"
)

// An iisConfig keeps users out by the addresses that a site of IIS lets in. It needs the
// role service "IP and Domain Restrictions". See
// https://learn.microsoft.com/en-us/iis/configuration/system.webserver/security/ipsecurity/
type iisConfig struct {
	Site   string   `toml:"site"`   // its name in IIS
	Allow  []string `toml:"allow"`  // IPv4 addresses that are let in, besides 127.0.0.1
	Pools  []string `toml:"pools"`  // application pools that are stopped behind the fence
	Appcmd string   `toml:"appcmd"` // the program; empty is the system's
	URL    string   `toml:"url"`    // of the site; asked after closing, from an address that is let in and from one that is not
}

func (c *iisConfig) on() bool { return c.Site != "" }

func (c *iisConfig) check() (m mistakes) {
	m.when(!c.on() && (len(c.Allow)+len(c.URL) > 0 || c.Appcmd != "" && len(c.Pools) == 0), "application.iis.site is missing: give the name of the site in IIS")
	m.when(strings.HasPrefix(c.Site, "/") || strings.HasPrefix(c.Site, "-") || strings.ContainsAny(c.Site, "\"'\r\n"), "application.iis.site = %q: give the name of a site in IIS, such as asp", c.Site)
	m.when(c.Appcmd != "" && !filepath.IsAbs(c.Appcmd), "application.iis.appcmd = %q: give an absolute path", c.Appcmd)
	m.when(c.URL != "" && !isSite(c.URL), "application.iis.url = %q: give the site's address, such as http://127.0.0.1/", c.URL)
	for _, a := range c.Allow {
		addr, err := netip.ParseAddr(a)
		m.when(err != nil || !addr.Is4(), "application.iis.allow has %q: give an IPv4 address such as 192.0.2.7", a)
	}
	return append(m, c.checkPools()...)
}

func (c *iisConfig) program() string {
	return cmp.Or(c.Appcmd, filepath.Join(cmp.Or(os.Getenv("SystemRoot"), `C:\Windows`), "System32", "inetsrv", "appcmd.exe"))
}

// allowed returns the addresses that are let in while users are kept out.
func (c *iisConfig) allowed() []string {
	return slices.Compact(slices.Sorted(slices.Values(append([]string{"127.0.0.1"}, c.Allow...))))
}

// ipSecurity is whom a site lets in, as appcmd writes it.
type ipSecurity struct {
	XMLName xml.Name `xml:"system.webServer"`
	Rules   struct {
		AllowUnlisted string   `xml:"allowUnlisted,attr"` // true if it is missing
		DenyAction    string   `xml:"denyAction,attr"`    // Forbidden if it is missing
		Listed        []listed `xml:"add"`
	} `xml:"security>ipSecurity"`
}

type listed struct {
	Address string `xml:"ipAddress,attr"`
	Mask    string `xml:"subnetMask,attr"`
	Domain  string `xml:"domainName,attr"`
	Allowed string `xml:"allowed,attr"` // false if it is missing
}

func (s *ipSecurity) closed() bool { return strings.EqualFold(s.Rules.AllowUnlisted, "false") }

// refused reports whether that is how the site answers those whom it does not let in.
func (s *ipSecurity) refused(res *http.Response, err error) bool {
	status := map[string]int{"unauthorized": http.StatusUnauthorized, "forbidden": http.StatusForbidden, "notfound": http.StatusNotFound}
	if how := strings.ToLower(cmp.Or(s.Rules.DenyAction, "forbidden")); how != "abortrequest" {
		return res != nil && res.StatusCode == status[how]
	}
	return err != nil
}

// in returns what is let in although it is in no list of ours, and those of ours that are.
func (s *ipSecurity) in(ours []string) (others, have []string) {
	for _, l := range s.Rules.Listed {
		switch who := cmp.Or(l.Domain, l.Address); {
		case !strings.EqualFold(l.Allowed, "true"):
		case l.Domain == "" && slices.Contains(ours, l.Address) && (l.Mask == "" || l.Mask == "255.255.255.255"):
			have = append(have, l.Address)
		default:
			others = append(others, strings.TrimSuffix(who+"/"+l.Mask, "/"))
		}
	}
	return others, have
}

// An iisFence is that list as a part of the fence.
type iisFence struct {
	iisConfig
	added string // the file with the addresses that Close has added, which is there while it is closed
	state string // where commands are recorded
}

func (s *Site) iis() iisFence {
	return iisFence{s.Config.Application.IIS, filepath.Join(s.Config.State, "iis", "added.json"), s.records()}
}

const ipSection = "/section:system.webServer/security/ipSecurity"

// command returns a command on the rules of the site. They are in the configuration of
// the machine, since most sites may not change them in their own.
func (i iisFence) command(verb string, args ...string) roles.Command {
	return roles.Command{Argv: append([]string{i.program(), verb, "config", i.Site, ipSection}, args...), State: i.state}
}

func (i iisFence) set(ctx context.Context, change string) error {
	return i.command("set", change, "/commit:apphost").Run(ctx, nil)
}

func (i iisFence) rules(ctx context.Context) (*ipSecurity, error) {
	var text strings.Builder
	list := i.command("list")
	list.Output = func(lines string) { text.WriteString(lines + "\n") }
	if err := list.Run(ctx, nil); err != nil {
		return nil, fmt.Errorf("cannot read whom IIS lets in: %w", err)
	}
	s := &ipSecurity{}
	if err := xml.Unmarshal([]byte(text.String()), s); err != nil {
		return nil, fmt.Errorf("cannot read whom IIS lets in: %w", err)
	}
	return s, nil
}

// Close lets in this machine and the addresses of Allow alone. A site that lets in a list
// of its own is refused: those users would stay in, and the list would be changed. With URL
// it waits until the site keeps users out: without the role service IIS takes the rules, and
// follows none.
func (i iisFence) Close(ctx context.Context) error {
	now, err := i.rules(ctx)
	if err != nil {
		return err
	}
	others, have := now.in(i.allowed())
	if len(others) > 0 {
		return fmt.Errorf("IIS lets in %s at any time: add it to application.iis.allow, or keep users out by other means", strings.Join(others, ", "))
	}
	added, err := i.readAdded()
	if err != nil {
		return err
	}
	if added == nil && now.closed() {
		return fmt.Errorf("IIS lets in listed addresses alone to %s, and not by this program: keep users out by other means", i.Site)
	}
	missing := slices.DeleteFunc(i.allowed(), func(a string) bool { return slices.Contains(have, a) })
	all := slices.Compact(slices.Sorted(slices.Values(append(added, missing...))))
	text, err := json.Marshal(append([]string{}, all...)) // a list, if an empty one: it says that we have closed
	if err == nil {
		err = replaceFile(i.added, text)
	}
	if err != nil {
		return fmt.Errorf("cannot keep what is changed in IIS: %w", err)
	}
	for _, a := range missing {
		if err := i.set(ctx, "/+[ipAddress='"+a+"',allowed='true']"); err != nil {
			return err
		}
	}
	// What was closed already was checked then. Since, the application may have been stopped: a
	// site that answers no one keeps users out, and says nothing of its rules.
	if err := i.set(ctx, "/allowUnlisted:false"); err != nil || i.URL == "" || added != nil && now.closed() {
		return err
	}
	if err := (entrance{i.URL, now.refused}).keepsOut(ctx); err != nil {
		return fmt.Errorf("IIS does not keep users out by its list of addresses: install the role service IP and Domain Restrictions, and see that application.iis.url is of the site %s: %w", i.Site, err)
	}
	return nil
}

// Open lets in everybody, and removes what Close has added. Letting in comes first, and needs
// no space on a disk.
func (i iisFence) Open(ctx context.Context) error {
	added, unread := i.readAdded()
	if added != nil {
		if err := (roles.Switch{On: i.command("set", "/allowUnlisted:true", "/commit:apphost")}).Open(ctx); err != nil {
			return err
		}
	}
	now, err := i.rules(ctx)
	if err = errors.Join(unread, err); err != nil {
		return err
	}
	if now.closed() {
		return fmt.Errorf("it is not known who closed %s in IIS: open it by %s set config %s %s /allowUnlisted:true /commit:apphost", i.Site, i.program(), i.Site, ipSection)
	}
	_, have := now.in(added)
	for _, a := range have {
		if err := i.set(ctx, "/-[ipAddress='"+a+"']"); err != nil {
			return err
		}
	}
	if err := removeFile(i.added); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Closed reports whether the site lets in listed addresses alone.
func (i iisFence) Closed(ctx context.Context) (bool, error) {
	now, err := i.rules(ctx)
	return err == nil && now.closed(), err
}

// Settle settles a command that a process before this one left running.
func (i iisFence) Settle(ctx context.Context) (bool, error) {
	return roles.Switch{Off: i.command("list")}.Settle(ctx)
}

// readAdded returns nil if Close has added nothing, and no address if it cannot be read.
func (i iisFence) readAdded() ([]string, error) {
	text, err := readFile(i.added)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	added := []string{}
	if err == nil {
		err = json.Unmarshal(text, &added)
	}
	return added, err
}

// iisEntrance warns where closing relies on what appcmd reports alone.
func (d *doctor) iisEntrance() {
	if c := d.Config.Application.IIS; c.on() && c.URL == "" {
		d.warn("fence", "IIS "+c.Site, "closing does not check that users are out: give the site's address in application.iis.url")
	}
}
