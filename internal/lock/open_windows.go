package lock

import "os"

const openFlag = os.O_CREATE | os.O_RDONLY
