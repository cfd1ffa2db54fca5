package command

// Windows keeps owners in access control lists, which a new file inherits
// from the folder it is made in.

func ownerOf(string) (*owner, error) { return nil, nil }

func (o *owner) give(string) error { return nil }
