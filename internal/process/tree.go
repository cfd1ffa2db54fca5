package process

import (
	"crypto/rand"
	"os"
	"os/exec"
	"time"
)

// treeMark is the variable by which a process is known to belong to a tree
// even after it has left its parent and its session.
const treeMark = "ASPUPDATE_TREE"

// endLimit bounds the ending of a tree: what lasts longer is protected by the
// kernel or by another user's rights.
const endLimit = 10 * time.Second

// mark gives cmd a mark of its own, and returns it.
func mark(cmd *exec.Cmd) string {
	id := rand.Text()
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, treeMark+"="+id)
	return id
}
