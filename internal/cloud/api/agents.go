package api

func (a *API) agentRoutes() []route {
	return nil
}
