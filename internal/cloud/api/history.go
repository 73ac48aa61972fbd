package api

func (a *API) historyRoutes() []route {
	return nil
}
